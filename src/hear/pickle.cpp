#include "axlstm/hear/pickle.h"

#include <iomanip>
#include <limits>
#include <memory>
#include <unordered_map>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::hear {
namespace {

/// Opcodes by their names in Python's pickletools.
enum Opcode : unsigned char {
  kProto = 0x80,
  kFrame = 0x95,
  kMark = '(',
  kStop = '.',
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kMemoize = 0x94,
  kBinPut = 'q',
  kLongBinPut = 'r',
  kBinGet = 'h',
  kLongBinGet = 'j',
};

/// Text is shared between the stack, the memo and the labels until the end, so that a short pickle cannot make it grow.
using Text = std::shared_ptr<const std::string>;
struct Mark {};
struct Root {};
using Row = std::vector<std::variant<Text, std::int64_t>>;
using Item = std::variant<Mark, Root, Row, Text, std::int64_t>;

/// The stack machine. The first list made is the root; every later one is a row, which is moved into the root.
class LabelUnpickler {
 public:
  LabelUnpickler(std::string_view bytes, const std::string& source) : bytes_(bytes), source_(source) {}

  LabelLists run() {
    step_start_ = 0;
    if (bytes_.empty() || unsigned_number(1) != kProto) fail("does not begin with PROTO");
    const std::uint64_t protocol = unsigned_number(1);
    if (protocol < 2 || protocol > 5) fail(str("protocol ", protocol, " (2 to 5 are read)"));
    while (step()) {
    }
    if (position_ != bytes_.size()) fail(str(bytes_.size() - position_, " bytes follow the end"));
    return result();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    std::ostringstream opcode;
    if (step_start_ < bytes_.size()) {
      opcode << ", opcode 0x" << std::hex << std::setw(2) << std::setfill('0')
             << static_cast<int>(static_cast<unsigned char>(bytes_[step_start_]));
    }
    throw Error(str(source_, ": not a pickled list of label lists at byte ", step_start_, opcode.str(), ": ", what));
  }

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - position_) fail("the file ends too early");
    const std::string_view part = bytes_.substr(position_, count);
    position_ += count;
    return part;
  }

  std::uint64_t unsigned_number(int bytes) {
    const std::string_view part = take(static_cast<std::uint64_t>(bytes));
    std::uint64_t value = 0;
    for (auto byte = part.rbegin(); byte != part.rend(); ++byte) value = value << 8 | static_cast<unsigned char>(*byte);
    return value;
  }

  /// Two's complement, little-endian, 0 to 8 bytes.
  std::int64_t signed_number(int bytes) {
    if (bytes == 0) return 0;
    const int unused = 64 - 8 * bytes;
    return static_cast<std::int64_t>(unsigned_number(bytes) << unused) >> unused;
  }

  /// Runs one opcode; false after STOP.
  bool step() {
    step_start_ = position_;
    const auto opcode = static_cast<Opcode>(unsigned_number(1));
    switch (opcode) {
      case kStop:
        return false;
      case kFrame:
        // A frame only announces how many bytes belong together; the bytes themselves are read as usual.
        if (unsigned_number(8) > bytes_.size() - position_) fail("the frame is longer than the file");
        break;
      case kMark:
        stack_.emplace_back(Mark{});
        break;
      case kEmptyList:
        push_list();
        break;
      case kAppend:
        append(1);
        break;
      case kAppends:
        append_to_mark();
        break;
      case kBinInt:
        stack_.emplace_back(signed_number(4));
        break;
      case kBinInt1:
        stack_.emplace_back(static_cast<std::int64_t>(unsigned_number(1)));
        break;
      case kBinInt2:
        stack_.emplace_back(static_cast<std::int64_t>(unsigned_number(2)));
        break;
      case kLong1: {
        const auto length = static_cast<int>(unsigned_number(1));
        if (length > 8) fail("an integer beyond 64 bits");
        stack_.emplace_back(signed_number(length));
        break;
      }
      case kBinUnicode:
        stack_.emplace_back(std::make_shared<const std::string>(take(unsigned_number(4))));
        break;
      case kShortBinUnicode:
        stack_.emplace_back(std::make_shared<const std::string>(take(unsigned_number(1))));
        break;
      case kMemoize:
        remember(memo_.size());
        break;
      case kBinPut:
        remember(unsigned_number(1));
        break;
      case kLongBinPut:
        remember(unsigned_number(4));
        break;
      case kBinGet:
        recall(unsigned_number(1));
        break;
      case kLongBinGet:
        recall(unsigned_number(4));
        break;
      default:
        fail("an opcode that lists, strings and integers do not need");
    }
    return true;
  }

  void push_list() {
    if (has_root_) {
      stack_.emplace_back(Row{});
    } else {
      stack_.emplace_back(Root{});
      has_root_ = true;
    }
  }

  void append_to_mark() {
    std::size_t count = 0;
    while (count < stack_.size() && !std::holds_alternative<Mark>(stack_[stack_.size() - 1 - count])) ++count;
    if (count == stack_.size()) fail("no mark on the stack");
    stack_.erase(stack_.end() - static_cast<std::ptrdiff_t>(count) - 1);
    append(count);
  }

  /// Moves the top `count` items to the end of the list below them.
  void append(std::size_t count) {
    if (stack_.size() < count + 1) fail("too few values on the stack");
    const std::size_t first = stack_.size() - count;
    Item& list = stack_[first - 1];
    for (std::size_t i = first; i < stack_.size(); ++i) append_one(list, stack_[i]);
    stack_.resize(first);
  }

  void append_one(Item& list, Item& value) {
    if (std::holds_alternative<Root>(list)) {
      if (!std::holds_alternative<Row>(value)) fail("a row is not a list");
      rows_.push_back(std::move(std::get<Row>(value)));
      return;
    }
    Row* row = std::get_if<Row>(&list);
    if (row == nullptr) fail("values are appended to something that is no list");
    if (const auto* text = std::get_if<Text>(&value)) {
      row->emplace_back(*text);
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
      row->emplace_back(*number);
    } else {
      fail("a label is neither a string nor an integer");
    }
  }

  void remember(std::uint64_t index) {
    if (stack_.empty() || std::holds_alternative<Mark>(stack_.back())) fail("nothing to store in the memo");
    const auto* text = std::get_if<Text>(&stack_.back());
    memo_[index] = text == nullptr ? nullptr : *text;
  }

  void recall(std::uint64_t index) {
    const auto entry = memo_.find(index);
    if (entry == memo_.end()) fail(str("memo entry ", index, " was never stored"));
    if (entry->second == nullptr) fail(str("memo entry ", index, " is no string (shared lists are not read)"));
    stack_.emplace_back(entry->second);
  }

  LabelLists result() const {
    if (stack_.size() != 1 || !std::holds_alternative<Root>(stack_.front())) fail("the result is not a list");
    // One memo look-up takes two bytes: without this limit a small file could name a long string millions of times.
    constexpr std::size_t kMaxTextPerByte = 64;
    std::size_t text_left = kMaxTextPerByte * bytes_.size();
    LabelLists labels;
    labels.reserve(rows_.size());
    for (const Row& row : rows_) {
      std::vector<Label>& list = labels.emplace_back();
      list.reserve(row.size());
      for (const auto& label : row) {
        if (const auto* number = std::get_if<std::int64_t>(&label)) {
          list.emplace_back(*number);
          continue;
        }
        const std::string& text = *std::get<Text>(label);
        if (text.size() > text_left) fail("the labels are far longer than the file");
        text_left -= text.size();
        list.emplace_back(text);
      }
    }
    return labels;
  }

  std::string_view bytes_;
  const std::string& source_;
  std::size_t position_ = 0;
  std::size_t step_start_ = 0;
  bool has_root_ = false;
  std::vector<Item> stack_;
  std::vector<Row> rows_;
  std::unordered_map<std::uint64_t, Text> memo_;
};

void put_little_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

void put_label(std::string& out, const Label& label) {
  if (const auto* text = std::get_if<std::string>(&label)) {
    AXLSTM_CHECK(text->size() <= std::numeric_limits<std::uint32_t>::max(), "a label of ", text->size(), " bytes");
    out += static_cast<char>(kBinUnicode);
    put_little_endian(out, text->size(), 4);
    out += *text;
    return;
  }
  const std::int64_t value = std::get<std::int64_t>(label);
  if (value >= 0 && value <= 0xff) {
    out += static_cast<char>(kBinInt1);
    put_little_endian(out, static_cast<std::uint64_t>(value), 1);
  } else if (value == static_cast<std::int32_t>(value)) {
    out += static_cast<char>(kBinInt);
    put_little_endian(out, static_cast<std::uint64_t>(value), 4);
  } else {
    out += static_cast<char>(kLong1);
    put_little_endian(out, 8, 1);
    put_little_endian(out, static_cast<std::uint64_t>(value), 8);
  }
}

}  // namespace

std::string label_text(const Label& label) {
  const auto* text = std::get_if<std::string>(&label);
  return text != nullptr ? *text : std::to_string(std::get<std::int64_t>(label));
}

LabelLists parse_label_pickle(std::string_view bytes, const std::string& source) {
  return LabelUnpickler(bytes, source).run();
}

LabelLists read_label_pickle(const std::filesystem::path& path) {
  return parse_label_pickle(read_file(path), path.string());
}

std::string label_pickle(const LabelLists& rows) {
  std::string out;
  put_little_endian(out, kProto, 1);
  put_little_endian(out, 2, 1);
  out += {static_cast<char>(kEmptyList), static_cast<char>(kMark)};
  for (const auto& row : rows) {
    out += {static_cast<char>(kEmptyList), static_cast<char>(kMark)};
    for (const Label& label : row) put_label(out, label);
    out += static_cast<char>(kAppends);
  }
  out += {static_cast<char>(kAppends), static_cast<char>(kStop)};
  return out;
}

}  // namespace axlstm::hear
