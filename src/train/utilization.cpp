#include "axlstm/train/utilization.h"

#include <array>
#include <cctype>

namespace axlstm::train {
namespace {

struct Peak {
  const char* name;  ///< whole words of the device's name; the first that are found count
  double teraflops;  ///< bf16 and fp16, dense, accumulated in float32
};
constexpr std::array kPeaks{Peak{"H100 PCIe", 756}, Peak{"H100 NVL", 835}, Peak{"H100", 989},  Peak{"H200", 989},
                            Peak{"H800", 989},      Peak{"GH200", 989},    Peak{"B200", 2250}, Peak{"GB200", 2500},
                            Peak{"A100", 312},      Peak{"A800", 312},     Peak{"A40", 149.7}, Peak{"A30", 165},
                            Peak{"L40S", 362},      Peak{"L40", 181},      Peak{"L4", 121},    Peak{"RTX 4090", 165},
                            Peak{"RTX 3090", 71}};

bool has_words(const std::string& text, const std::string& words) {
  const auto is_part = [&](std::size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
  };
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
    if ((at == 0 || !is_part(at - 1)) && !is_part(at + words.size())) return true;
  }
  return false;
}

}  // namespace

std::optional<double> peak_flops(const std::string& gpu_name, runtime::Precision precision) {
  if (precision == runtime::Precision::kFp32) return std::nullopt;
  for (const Peak& peak : kPeaks) {
    if (has_words(gpu_name, peak.name)) return 1e12 * peak.teraflops / (precision == runtime::Precision::kTf32 ? 2 : 1);
  }
  return std::nullopt;
}

}  // namespace axlstm::train
