// Lists of classes, and labels of clips that are looked up in one: indices are those of the list.
#include "axlstm/data/lists/class_list.h"

#include <algorithm>

#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const auto file = fuzz::file_of("classes.csv", text);
  fuzz::accepted([&] {
    const data::ClassList classes = data::load_class_list(file);
    fuzz::require(classes.size() > 1, "a list that is taken has classes");
    for (std::int64_t index = 0; index < classes.size(); ++index) {
      const std::string& name = classes.names()[static_cast<std::size_t>(index)];
      fuzz::require(classes.only(name, "clip") == index, "a class's index");
    }
    fuzz::accepted([&] {
      for (const std::int64_t index : classes.all(text.substr(0, text.find('\n')), "clip"))
        fuzz::require(index >= 0 && index < classes.size(), "an index of the list");
    });
  });
  const auto names = data::classes_of({std::string(text)}, /*exclusive=*/false);
  fuzz::require(std::is_sorted(names.begin(), names.end()), "classes are sorted");
  return 0;
}
