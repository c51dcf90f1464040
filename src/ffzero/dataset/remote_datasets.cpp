// The registry of downloadable data sets: the only place that holds their addresses.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/remote_datasets.hpp"

#include <algorithm>
#include <array>
#include <system_error>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

const std::array<RemoteDataset, 2>& registry() {
  static const std::array<RemoteDataset, 2> kRegistry{
      RemoteDataset{.name = "mnist",
                    .contents = "60,000 + 10,000 grey images of 28 x 28: handwritten digits",
                    .files = {{"train-images-idx3-ubyte", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
                              {"train-labels-idx1-ubyte", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
                              {"t10k-images-idx3-ubyte", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
                              {"t10k-labels-idx1-ubyte", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}},
                    .mirrors = {"https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/",
                                "https://raw.githubusercontent.com/fgnt/mnist/master/"}},
      RemoteDataset{.name = "fashion-mnist",
                    .contents = "60,000 + 10,000 grey images of 28 x 28: ten kinds of clothing",
                    .files = {{"train-images-idx3-ubyte", 47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
                              {"train-labels-idx1-ubyte", 60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
                              {"t10k-images-idx3-ubyte", 7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
                              {"t10k-labels-idx1-ubyte", 10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}},
                    .mirrors = {"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"}}};
  return kRegistry;
}

DatasetEntry entry_of(const RemoteDataset& dataset, const std::filesystem::path& dir) {
  DatasetEntry entry{.name = dataset.name, .contents = dataset.contents, .files = static_cast<int>(dataset.files.size())};
  for (const RemoteFile& file : dataset.files) {
    entry.bytes += file.size;
    entry.files_present += locate(dataset, file, dir).empty() ? 0 : 1;
  }
  return entry;
}

}  // namespace

std::span<const RemoteDataset> remote_datasets() { return registry(); }

const RemoteDataset& remote_dataset(std::string_view name) {
  const auto found = std::ranges::find(registry(), name, &RemoteDataset::name);
  if (found == registry().end()) {
    throw ConfigError("datasets", "only mnist and fashion-mnist consist of files that can be fetched and verified",
                      "\"" + std::string(name) + "\"", "see `ffzero datasets list`");
  }
  return *found;
}

std::filesystem::path locate(const RemoteDataset& dataset, const RemoteFile& file, const std::filesystem::path& dir) {
  for (const auto& folder : {dir / dataset.name, dir}) {
    for (const char* ending : {"", ".gz"}) {
      std::error_code ignored;
      const std::filesystem::path path = folder / (file.name + ending);
      if (std::filesystem::exists(path, ignored)) return path;
    }
  }
  return {};
}

std::vector<DatasetEntry> list_datasets(const std::filesystem::path& dir) {
  std::vector<DatasetEntry> entries{
      {.name = "glyphs", .contents = "10,000 + 2,000 grey images of 28 x 28: digits drawn from the seed", .built_in = true},
      {.name = "function1", .contents = "10,000 + 2,000 points: sin x0 + cos x1 on [-1, 1]^2", .built_in = true},
      {.name = "function2", .contents = "10,000 + 2,000 points: exp(x0) sin x1 + x2 cos x3 - x4 x0 on [-1, 1]^5", .built_in = true}};
  for (const RemoteDataset& dataset : remote_datasets()) entries.push_back(entry_of(dataset, dir));
  entries.push_back(
      {.name = "npz", .contents = "your own: x_train, y_train, x_test, y_test in one NumPy archive (--data-dir names the file)"});
  entries.push_back(
      {.name = "csv",
       .contents = "your own: a table whose first line names its columns, labels in one of them (--data-dir names the file)"});
  entries.push_back({.name = "idx", .contents = "your own: images and labels in four IDX files named as those of MNIST"});
  return entries;
}

}  // namespace ffzero
