// Packing and checking shards, reported on the terminal.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "axlstm/core/exit_code.h"
#include "axlstm/data/packer.h"

namespace axlstm::suite {

/// data::pack until all is packed or `stop` turns true, and what became of the clips.
ExitCode pack(data::ClipStream& stream, const data::PackOptions& options, const std::atomic<bool>& stop);

/// Compares every clip of a packed folder with its checksum and prints the ids of those that differ. Throws Error if
/// there are any.
ExitCode verify_packed(const std::string& folder, std::int64_t workers);

}  // namespace axlstm::suite
