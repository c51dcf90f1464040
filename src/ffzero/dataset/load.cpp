// Raw splits by name, then the choice of classes, the task and the validation split: the same for all.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/load.hpp"

#include <algorithm>
#include <future>
#include <numeric>
#include <optional>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/dataset/functions.hpp"
#include "ffzero/dataset/glyphs.hpp"
#include "ffzero/dataset/idx_file.hpp"
#include "ffzero/dataset/npz_dataset.hpp"

namespace ffzero {

namespace {

namespace fs = std::filesystem;

std::optional<Task> task_asked_for(const std::string& task) {
  if (task == "auto") return {};
  if (task == "classification") return Task::classification;
  if (task == "regression") return Task::regression;
  throw ConfigError("dataset.task", "must be auto, classification or regression", "\"" + task + "\"");
}

// Images and labels of one half, not yet combined.
struct Half {
  IdxImages images;
  std::vector<std::int32_t> labels;
  std::string labels_place;
};

Half read_half(const DatasetOptions& o, std::string_view images_name, std::string_view labels_name) {
  const fs::path images_path = find_idx_file(o.dir, o.name, images_name), labels_path = find_idx_file(o.dir, o.name, labels_name);
  const auto bytes = read_idx_labels(labels_path);
  Half half{read_idx_images(images_path), {bytes.begin(), bytes.end()}, labels_path.string()};
  if (isize(half.labels.size()) != half.images.count)
    throw DataError(half.labels_place,
                    "must have one label for each of the " + std::to_string(half.images.count) + " images in " + images_path.string(),
                    std::to_string(half.labels.size()) + " labels", "check that the two files belong together");
  return half;
}

void require_digits(const Half& half) {
  const auto bad = std::find_if(half.labels.begin(), half.labels.end(), [](std::int32_t k) { return k > 9; });
  if (bad != half.labels.end())
    throw DataError(half.labels_place, "labels must be 0 to 9",
                    "label " + std::to_string(*bad) + " of sample " + std::to_string(bad - half.labels.begin()), "download the file again");
}

void require_mnist_size(const Half& half, const std::string& name) {
  if (half.images.height != 28 || half.images.width != 28)
    throw DataError(half.labels_place, "belongs to " + name + ", whose images are 28 x 28",
                    std::to_string(half.images.height) + " x " + std::to_string(half.images.width),
                    "use dataset.name = \"idx\" for other images");
}

Splits idx_dataset(const DatasetOptions& o) {
  std::future<Half> later =
      std::async(o.threads == 1 ? std::launch::deferred : std::launch::async, [&o] { return read_half(o, kIdxNames[2], kIdxNames[3]); });
  Half train = read_half(o, kIdxNames[0], kIdxNames[1]), test = later.get();
  DatasetInfo info;
  info.name = o.name;
  info.shape = {1, train.images.height, train.images.width};
  if (o.name == "idx") {
    info.classes = 1 + std::max(*std::max_element(train.labels.begin(), train.labels.end()),
                                *std::max_element(test.labels.begin(), test.labels.end()));
  } else {
    info.classes = 10;
    for (const Half* half : {&train, &test}) {
      require_digits(*half);
      require_mnist_size(*half, o.name);
    }
  }
  if (test.images.height != train.images.height || test.images.width != train.images.width)
    throw DataError(o.dir.string(), "test images must have the size of the train images, " + to_string(info.shape),
                    std::to_string(test.images.height) + " x " + std::to_string(test.images.width), "check that the files belong together");
  return {Dataset(info, std::move(train.images.pixels), std::move(train.labels)),
          {},
          Dataset(info, std::move(test.images.pixels), std::move(test.labels))};
}

Splits raw_splits(const DatasetOptions& o, std::optional<Task> task) {
  if (o.name == "mnist" || o.name == "fashion-mnist" || o.name == "idx") return idx_dataset(o);
  if (o.name == "npz") return npz_dataset(read_npz(o.dir), task, o.dir.string(), o.csv.weights);
  if (o.name == "memory") {
    if (!o.archive)
      throw ConfigError("dataset.name", "samples of a program's memory must be given again", "none",
                        "ffzero.train(data=...) in Python, or dataset.name = \"npz\" with a file of the same samples");
    return npz_dataset(*o.archive, task, "data", o.csv.weights);
  }
  if (o.name == "csv") {
    const std::string text = read_csv_text(o.dir);
    CsvReader reader(text, o.dir.string());
    return csv_dataset(reader, o.csv, task);
  }
  if (o.name == "glyphs") return make_glyphs(o.seed);
  if (o.name == "function1") return make_function1(o.seed);
  if (o.name == "function2") return make_function2(o.seed);
  throw ConfigError("dataset.name", "must be mnist, fashion-mnist, function1, function2, glyphs, npz, csv, idx or memory",
                    "\"" + o.name + "\"");
}

bool chooses_classes(const DatasetOptions& o) { return o.classes != 0 || !o.class_list.empty(); }

// The labels to keep. Whether the data set has them is for the caller to say.
std::vector<std::int32_t> chosen_classes(const DatasetOptions& o, Index available) {
  constexpr const char* kKey = "dataset.classes";
  if (o.classes != 0 && !o.class_list.empty()) throw ConfigError(kKey, "must be a number or a list, not both");
  std::vector<std::int32_t> chosen = o.class_list;
  if (chosen.empty()) {
    const Index count = o.classes == 0 ? available : o.classes;
    if (o.classes < 0 || count > available)
      throw ConfigError(kKey, o.name + " has " + std::to_string(available) + " classes", std::to_string(o.classes), "lower it");
    chosen.resize(usize(count));
    std::iota(chosen.begin(), chosen.end(), 0);
  }
  if (chosen.size() < 2) throw ConfigError(kKey, "classification needs at least 2 classes", std::to_string(chosen.size()), "choose more");
  for (auto k = chosen.begin(); k != chosen.end(); ++k) {
    if (*k < 0 || *k >= available)
      throw ConfigError(kKey, "labels must be 0 to " + std::to_string(available - 1), std::to_string(*k), "choose among these");
    if (std::find(chosen.begin(), k, *k) != k) throw ConfigError(kKey, "labels must differ", std::to_string(*k) + " twice", "remove one");
  }
  return chosen;
}

std::vector<bool> classes_seen(const Dataset& set) {
  std::vector<bool> seen(usize(set.classes()), false);
  for (const std::int32_t k : set.labels()) seen[static_cast<std::size_t>(k)] = true;
  return seen;
}

// The first class without a training sample, named as in the file; sooner one that the test set holds, a label out of range, than a gap.
std::optional<std::string> empty_class(const Splits& s) {
  const auto train = classes_seen(s.train), test = classes_seen(s.test);
  const auto name = [&](std::size_t k) {
    if (const auto& texts = s.train.info().class_texts; !texts.empty()) return "\"" + excerpt(texts[k]) + "\"";
    const auto& names = s.train.info().class_names;
    return std::to_string(names.empty() ? static_cast<std::int32_t>(k) : names[k]);
  };
  for (std::size_t k = 0; k < train.size(); ++k)
    if (!train[k] && test[k]) return name(k);
  const auto gap = std::find(train.begin(), train.end(), false);
  if (gap == train.end()) return {};
  return name(static_cast<std::size_t>(gap - train.begin()));
}

std::string place_of(const DatasetOptions& o) { return o.dir.empty() ? "dataset '" + o.name + "'" : o.dir.string(); }

void choose_classes(Splits& s, const DatasetOptions& o) {
  const auto chosen = chosen_classes(o, s.train.classes());
  s.train = s.train.with_classes(chosen);
  s.test = s.test.with_classes(chosen);
  if (const auto k = empty_class(s))
    throw DataError(place_of(o), "every class needs a training sample", "none of class " + *k,
                    "number the labels 0 .. K - 1 or list those to use in dataset.classes");
  if (s.test.empty())
    throw DataError(place_of(o), "needs a test sample", "none of the chosen classes", "choose other labels in dataset.classes");
}

void apply_task(Splits& s, const DatasetOptions& o, std::optional<Task> task) {
  const bool labelled = s.train.task() == Task::classification;
  if (!labelled && task == Task::classification)
    throw ConfigError("dataset.task", o.name + " has real targets and no classes", "\"classification\"", "use \"regression\" or \"auto\"");
  const bool regress = !labelled || task == Task::regression;
  if (regress && chooses_classes(o)) throw ConfigError("dataset.classes", "has no effect in regression", {}, "remove it");
  if (!regress) return choose_classes(s, o);
  if (!labelled) return;
  s.train = s.train.with_labels_as_targets();
  s.test = s.test.with_labels_as_targets();
}

void hold_out(Splits& s, Index count) {
  constexpr const char* kKey = "dataset.validation";
  if (count < 0) throw ConfigError(kKey, "must not be negative", std::to_string(count));
  if (count >= s.train.size())
    throw ConfigError(kKey, "must leave samples to train on: fewer than " + std::to_string(s.train.size()), std::to_string(count),
                      "lower it");
  if (count == 0) return;
  const Index left = s.train.size() - count;
  s.validation = s.train.slice(left, count);
  s.train = s.train.slice(0, left);
  if (s.train.task() != Task::classification) return;
  if (const auto k = empty_class(s))
    throw ConfigError(kKey, "must leave a training sample of every class", std::to_string(count) + ", which leaves none of class " + *k,
                      "lower it or shuffle the data");
}

}  // namespace

fs::path find_idx_file(const fs::path& dir, std::string_view name, std::string_view file) {
  for (const fs::path& folder : {dir / name, dir})
    for (const char* ending : {"", ".gz"}) {
      const fs::path candidate = folder / (std::string(file) + ending);
      std::error_code code;
      if (fs::exists(candidate, code)) return candidate;
    }
  const std::string remedy =
      name == "idx" ? "set dataset.dir to the folder that holds the files"
                    : "run `ffzero datasets fetch " + std::string(name) + "`, set dataset.dir, or use dataset.name = \"glyphs\"";
  throw DataError(dir.empty() ? "dataset.dir" : dir.string(),
                  "must hold " + std::string(file) + " (or .gz), or a folder " + std::string(name) + " with it", "no such file", remedy);
}

Splits load_dataset(const DatasetOptions& options) {
  const auto task = task_asked_for(options.task);
  Splits splits = raw_splits(options, task);
  apply_task(splits, options, task);
  hold_out(splits, options.validation);
  return splits;
}

}  // namespace ffzero
