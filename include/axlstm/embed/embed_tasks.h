// HEAR tasks → embeddings, on all GPUs there are.
#pragma once

#include <filesystem>
#include <vector>

#include "axlstm/embed/extraction.h"
#include "axlstm/embed/open.h"

namespace axlstm::embed {

/// Embeds `tasks` with one model, on several GPUs side by side, a task on each. What is embedded already is left. A
/// task that fails is reported and passed over; returns those whose embeddings are there in the end.
std::vector<std::filesystem::path> embed_tasks(const ModelArguments& model,
                                               const std::vector<std::filesystem::path>& tasks,
                                               const ExtractionOptions& options);

}  // namespace axlstm::embed
