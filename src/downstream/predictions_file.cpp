#include "predictions_file.h"

#include <torch/torch.h>

#include <bit>

namespace axlstm::downstream {
namespace {

/// Writes pickle's stack machine code, protocol 4 (Python 3.4 and later). Opcodes as in Python's pickletools.
class Pickler {
 public:
  Pickler() { out_ += "\x80\x04"; }

  std::string finish() {
    out_ += '.';
    return std::move(out_);
  }

  void text(const std::string& value) {
    out_ += 'X';  // BINUNICODE
    little_endian(value.size(), 4);
    out_ += value;
  }

  void integer(std::int64_t value) {
    out_ += "\x8a\x08";  // LONG1 of 8 bytes
    little_endian(static_cast<std::uint64_t>(value), 8);
  }

  void number(double value) {
    out_ += 'G';  // BINFLOAT, big-endian
    const auto bits = std::bit_cast<std::uint64_t>(value);
    for (int shift = 56; shift >= 0; shift -= 8) out_ += static_cast<char>(bits >> shift & 0xff);
  }

  /// The values that `fill` writes, as a dictionary of alternating keys and values, or as a list.
  template <typename Fill>
  void dictionary(const Fill& fill) {
    out_ += "}(";  // EMPTY_DICT MARK
    fill();
    out_ += 'u';  // SETITEMS
  }
  template <typename Fill>
  void list(const Fill& fill) {
    out_ += "](";  // EMPTY_LIST MARK
    fill();
    out_ += 'e';  // APPENDS
  }

  /// torch.from_numpy(numpy.ndarray(sizes, type, bytearray(data))): a tensor of its own, writable memory.
  void tensor(const torch::Tensor& value) {
    const torch::Tensor data = value.cpu().contiguous();
    out_ += "ctorch\nfrom_numpy\ncnumpy\nndarray\n((";  // GLOBAL GLOBAL MARK MARK
    for (const std::int64_t size : data.sizes()) integer(size);
    out_ += 't';  // TUPLE
    text(data.scalar_type() == torch::kFloat64 ? "<f8" : "<f4");
    out_ += "cbuiltins\nbytearray\n";
    out_ += '\x8e';  // BINBYTES8
    little_endian(data.nbytes(), 8);
    out_.append(static_cast<const char*>(data.const_data_ptr()), data.nbytes());
    out_ += "\x85RtR\x85R";  // TUPLE1 REDUCE TUPLE REDUCE TUPLE1 REDUCE
  }

 private:
  void little_endian(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_ += static_cast<char>(value >> (8 * i) & 0xff);
  }

  std::string out_;
};

void put_events(Pickler& pickler, const std::vector<hear::ClassEvent>& events, const std::vector<std::string>& labels) {
  pickler.list([&] {
    for (const hear::ClassEvent& event : events) {
      pickler.dictionary([&] {
        pickler.text("label");
        pickler.text(labels.at(static_cast<std::size_t>(event.c)));
        pickler.text("start");
        pickler.number(event.start_ms);
        pickler.text("end");
        pickler.number(event.end_ms);
      });
    }
  });
}

torch::Tensor timestamps_of(const std::vector<EventFile>& files, std::int64_t rows) {
  const torch::Tensor timestamps = torch::zeros({rows}, torch::kFloat64);
  double* values = timestamps.mutable_data_ptr<double>();
  for (const EventFile& file : files) {
    for (std::size_t i = 0; i < file.rows.size(); ++i) values[file.rows[i]] = file.timestamps_ms[i];
  }
  return timestamps;
}

}  // namespace

std::string predictions_pickle(const torch::Tensor& predictions, const torch::Tensor& logits, const SplitData& data,
                               const std::vector<std::string>& labels,
                               const std::optional<hear::Postprocessing>& postprocessing) {
  Pickler pickler;
  pickler.dictionary([&] {
    pickler.text("target");
    pickler.tensor(data.targets);
    pickler.text("prediction");
    pickler.tensor(predictions);
    pickler.text("prediction_logit");
    pickler.tensor(logits);
    if (!data.files) return;
    pickler.text("timestamp");
    pickler.tensor(timestamps_of(*data.files, predictions.size(0)));
    const std::vector<hear::FileEvents> events = events_of(predictions, data, postprocessing.value());
    const auto put_files = [&](const char* key, std::vector<hear::ClassEvent> hear::FileEvents::*kind) {
      pickler.text(key);
      pickler.dictionary([&] {
        for (std::size_t i = 0; i < events.size(); ++i) {
          pickler.text((*data.files)[i].name);
          put_events(pickler, events[i].*kind, labels);
        }
      });
    };
    put_files("target_events", &hear::FileEvents::reference);
    put_files("predicted_events", &hear::FileEvents::estimated);
  });
  return pickler.finish();
}

}  // namespace axlstm::downstream
