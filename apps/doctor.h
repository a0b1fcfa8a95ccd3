// What the program runs on.
#pragma once

#include <string>

#include "axlstm/config/schema.h"

namespace axlstm::cli {

/// One line: device, LibTorch, CUDA and cuDNN versions.
std::string platform_summary(train::DeviceChoice choice);

/// ", mLSTM backend …" of an AxLSTM that computes on `device`; empty for other models. Throws UsageError if the backend
/// that the configuration asks for cannot run there.
std::string mlstm_summary(const model::EncoderOptions& model, train::Precision precision, torch::Device device);

/// Several lines for a bug report.
std::string doctor_report();

}  // namespace axlstm::cli
