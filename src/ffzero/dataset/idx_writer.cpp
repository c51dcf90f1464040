// Big-endian header, then bytes.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/idx_writer.hpp"

#include <initializer_list>
#include <string>
#include <system_error>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

std::string header_of(std::initializer_list<Index> sizes) {
  std::string out{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const Index size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xFF);
  }
  return out;
}

void require_exportable(const Dataset& dataset) {
  const bool grey = dataset.is_bytes() && dataset.shape().channels == 1;
  if (!grey || dataset.task() != Task::classification || dataset.classes() > 256 || dataset.size() > 0x7FFFFFFF) {
    throw ConfigError("datasets export", "IDX files hold grey images of bytes with at most 256 classes",
                      dataset.name() + " with samples of " + to_string(dataset.shape()), "choose glyphs, mnist or fashion-mnist");
  }
}

}  // namespace

void export_idx(const Dataset& dataset, const std::filesystem::path& dir, std::string_view prefix) {
  require_exportable(dataset);
  std::string images = header_of({dataset.size(), dataset.shape().height, dataset.shape().width});
  std::string labels = header_of({dataset.size()});
  images.reserve(images.size() + usize(dataset.size() * dataset.shape().size()));
  for (Index i = 0; i < dataset.size(); ++i) {
    const auto bytes = dataset.bytes(i);
    images.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    labels += static_cast<char>(dataset.labels()[usize(i)]);
  }
  const std::string start(prefix);
  write_file_atomically(dir / (start + "-images-idx3-ubyte"), images);
  write_file_atomically(dir / (start + "-labels-idx1-ubyte"), labels);
}

void export_idx(const Splits& splits, const std::filesystem::path& dir) {
  if (!splits.validation.empty()) {
    throw ConfigError("datasets export", "there is no file for a validation split", std::to_string(splits.validation.size()) + " samples",
                      "set dataset.validation = 0");
  }
  require_exportable(splits.train);
  require_exportable(splits.test);
  std::error_code code;
  std::filesystem::create_directories(dir, code);
  if (code) throw OutputError(dir.string(), "must be a folder that can be created", code.message(), "choose another folder");
  export_idx(splits.train, dir, "train");
  export_idx(splits.test, dir, "t10k");
}

}  // namespace ffzero
