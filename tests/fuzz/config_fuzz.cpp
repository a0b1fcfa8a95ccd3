// YAML configurations and command-line overrides: what is read dumps to YAML that reads back to the same. A line of
// only "---" in the input ends the YAML; each line after it is one override.
#include "axlstm/config/config.h"

#include "axlstm/config/schema.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(fuzz::text_of(data, size));
  constexpr std::string_view kSeparator = "\n---\n";
  const std::size_t end = input.find(kSeparator);
  std::string overrides = end == std::string::npos ? "" : input.substr(end + kSeparator.size());
  fuzz::accepted([&] {
    config::Node root = config::parse(input.substr(0, end), "input");
    while (!overrides.empty()) {
      const std::size_t line = overrides.find('\n');
      config::apply_override(root, overrides.substr(0, line));
      overrides.erase(0, line == std::string::npos ? line : line + 1);
    }
    const std::string dumped = config::dump(config::read(root));
    fuzz::require(config::dump(config::read(config::parse(dumped, "dumped"))) == dumped,
                  "a configuration survives a round trip");
    fuzz::require(config::changed_keys(dumped, dumped).empty(), "a configuration does not differ from itself");
  });
  return 0;
}
