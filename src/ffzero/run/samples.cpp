// Samples to predict, from files of several kinds.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>

#include "ffzero/base/error.hpp"
#include "ffzero/dataset/csv_dataset.hpp"
#include "ffzero/dataset/idx_file.hpp"
#include "ffzero/dataset/image_file.hpp"
#include "ffzero/run/evaluate.hpp"

namespace ffzero {

namespace {

namespace fs = std::filesystem;

enum class Kind { picture, idx, npz, csv };

Kind kind_of(const fs::path& path, const TrainedNetwork& network) {
  std::array<char, 4> head{};
  std::error_code ignored;
  std::ifstream in;
  // To open a pipe would be to wait for its writer.
  if (fs::is_regular_file(path, ignored)) in.open(path, std::ios::binary);
  if (!in.is_open()) throw DataError(path.string(), "must be a readable file", "none", "check the path");
  in.read(head.data(), head.size());
  if (std::memcmp(head.data(), "PK\x03\x04", 4) == 0 || std::memcmp(head.data(), "PK\x05\x06", 4) == 0) return Kind::npz;
  // A table may have columns P1, P2.
  const bool table = !network.info().feature_names.empty();
  if (std::memcmp(head.data(), "\x89PNG", 4) == 0 || (!table && head[0] == 'P' && head[1] >= '1' && head[1] <= '7')) return Kind::picture;
  if (std::memcmp(head.data(), "\x1f\x8b", 2) == 0 || (head[0] == 0 && head[1] == 0)) return Kind::idx;
  // Names of columns may begin with any byte.
  if (table) return Kind::csv;
  throw DataError(path.string(), "must be a picture (PGM, PPM, PNG), IDX images, an npz archive, or a csv for a network trained on one",
                  "another kind of file", "convert it");
}

template <class T>
Dataset unlabelled(const TrainedNetwork& network, const Shape& shape, std::vector<T> values, Index count) {
  DatasetInfo info = network.info();
  info.shape = shape;
  if (info.task == Task::regression) return Dataset(info, std::move(values), std::vector<float>(usize(count * info.outputs), 0.0F));
  return Dataset(info, std::move(values), std::vector<std::int32_t>(usize(count), 0));
}

Shape shape_of(const NpyArray& array, const std::string& place) {
  const auto& s = array.shape;
  if (s.empty() || s.size() > 4 || array.size() == 0)
    throw DataError(place, "must have the shape (N, F), (N, H, W) or (N, C, H, W) with N >= 1",
                    fmt::format("{} dimensions, {} numbers", s.size(), array.size()));
  if (array.is_complex()) return {.channels = 2, .height = 1, .width = array.size() / s[0]};
  switch (s.size()) {
    case 1:
      return {.channels = 1, .height = 1, .width = 1};
    case 2:
      return {.channels = 1, .height = 1, .width = s[1]};
    case 3:
      return {.channels = 1, .height = s[1], .width = s[2]};
    default:
      return {.channels = s[1], .height = s[2], .width = s[3]};
  }
}

Dataset from_npz(const fs::path& path, const TrainedNetwork& network) {
  const NpzArchive archive = read_npz(path);
  const auto x = archive.find("x");
  const auto found = x != archive.end() ? x : archive.find("x_test");
  if (found == archive.end())
    throw DataError(path.string(), "must hold an array x or x_test", "neither", "save the samples under the name x");
  const std::string place = path.string() + ": " + found->first;
  const NpyArray& array = found->second;
  const Shape shape = shape_of(array, place);
  const Index count = array.shape[0];
  if (array.type == NpyArray::Type::u8) return unlabelled(network, shape, array.to<std::uint8_t>(), count);
  std::vector<float> values;
  if (array.is_complex()) {
    const auto pairs = array.to_complex_pairs();
    values.resize(pairs.size());
    for (Index i = 0; i < count; ++i)
      for (Index k = 0; k < shape.width; ++k)
        for (Index part = 0; part < 2; ++part)
          values[usize((i * 2 + part) * shape.width + k)] = static_cast<float>(pairs[usize((i * shape.width + k) * 2 + part)]);
  } else {
    values = array.to<float>();
  }
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      throw DataError(place, "samples must be finite", fmt::format("{} in sample {}", values[i], isize(i) / shape.size()),
                      "remove that sample");
  return unlabelled(network, shape, std::move(values), count);
}

}  // namespace

Dataset read_samples(const fs::path& path, const TrainedNetwork& network) {
  switch (kind_of(path, network)) {
    case Kind::csv: {
      const std::string text = read_csv_text(path);
      CsvReader reader(text, path.string());
      return csv_samples(reader, network.info(), {}, false);
    }
    case Kind::npz:
      return from_npz(path, network);
    case Kind::idx: {
      IdxImages images = read_idx_images(path);
      return unlabelled(network, {.channels = 1, .height = images.height, .width = images.width}, std::move(images.pixels), images.count);
    }
    case Kind::picture:
      break;
  }
  GreyImage image = read_image(path);
  return unlabelled(network, {.channels = 1, .height = image.height, .width = image.width}, std::move(image.pixels), 1);
}

}  // namespace ffzero
