#include "axlstm/embed/stream_output.h"

#include <torch/torch.h>

#include <charconv>
#include <string_view>

namespace axlstm::embed {
namespace {

/// The shortest digits that give the same number back.
template <typename... Format>
void append(std::string& text, Format... value_and_format) {
  char digits[400];  // a double without an exponent
  text.append(digits, std::to_chars(digits, digits + sizeof digits, value_and_format...).ptr);
}

}  // namespace

std::string formatted(const StreamEmbedding& embedding, StreamFormat format) {
  const auto values = embedding.embedding.contiguous();
  const auto* data = values.data_ptr<float>();
  const auto count = static_cast<std::size_t>(values.numel());
  if (format == StreamFormat::kF32) return {reinterpret_cast<const char*>(data), count * sizeof(float)};
  std::string line = R"({"start_ms":)";
  append(line, embedding.start_ms, std::chars_format::fixed);
  line += R"(,"end_ms":)";
  append(line, embedding.end_ms, std::chars_format::fixed);
  line += R"(,"embedding":[)";
  for (std::size_t n = 0; n < count; ++n) {
    if (n > 0) line += ',';
    append(line, data[n]);
  }
  return line + "]}\n";
}

}  // namespace axlstm::embed
