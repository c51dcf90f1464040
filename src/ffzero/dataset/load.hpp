// From the [dataset] section of a configuration to the three splits.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/dataset/csv_dataset.hpp"
#include "ffzero/dataset/dataset.hpp"
#include "ffzero/tensor/npz.hpp"

namespace ffzero {

/// The keys of [dataset] that decide which samples there are; how they enter the network is the encoder's.
struct DatasetOptions {
  std::string name = "glyphs";  ///< one of kDatasetNames, or "memory": `archive`
  std::filesystem::path dir;    ///< mnist, fashion-mnist, idx: files in dir/<name>/ or in dir; npz, csv: the file itself; else unused
  std::string task = "auto";    ///< auto | classification | regression
  Index classes = 0;            ///< the first K labels; 0: all of them
  std::vector<std::int32_t> class_list;       ///< or these labels, relabelled 0 .. K - 1 in this order
  Index validation = 0;                       ///< the LAST so many training samples (after the choice of classes) are held out
  std::uint64_t seed = 0;                     ///< of glyphs, function1 and function2
  CsvOptions csv;                             ///< of csv; .weights also of npz and memory: the array of the training samples' weights
  std::shared_ptr<const NpzArchive> archive;  ///< of memory: the arrays of npz_dataset
  Index threads = 1;                          ///< 1: files are read one after the other; else those of an IDX test set beside the others
};

inline constexpr std::array<std::string_view, 8> kDatasetNames{"mnist",  "fashion-mnist", "function1", "function2",
                                                               "glyphs", "npz",           "csv",       "idx"};

/// File names of an IDX data set, each with or without ".gz": train images, train labels, test images, test labels.
inline constexpr std::array<std::string_view, 4> kIdxNames{"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                                           "t10k-labels-idx1-ubyte"};

/// Where `file` (one of kIdxNames) of the data set `name` lies: dir/name/file, dir/name/file.gz, dir/file or dir/file.gz, the first that
/// exists. @throws DataError naming `dir` and the remedy if there is none.
[[nodiscard]] std::filesystem::path find_idx_file(const std::filesystem::path& dir, std::string_view name, std::string_view file);

/// Reads or makes the data set. MNIST as regression has the target 2 (label/9 - 1/2); the other labelled sets likewise with K - 1.
/// @throws ConfigError naming the key (dataset.name, .task, .classes, .validation) for settings that cannot be met;
/// DataError naming the file for whatever is wrong with the data, a class without a training sample included.
[[nodiscard]] Splits load_dataset(const DatasetOptions& options);

}  // namespace ffzero
