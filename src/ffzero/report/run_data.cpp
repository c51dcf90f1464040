// Reading what train wrote.
// SPDX-License-Identifier: MIT
#include "ffzero/report/run_data.hpp"

#include <fmt/format.h>

#include <sstream>

#include "ffzero/base/error.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/report/statistics.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

std::string file_text(const fs::path& path) {
  constexpr std::uint64_t kLongest = std::uint64_t{1} << 30;
  FileContent content = read_regular_file(path, kLongest);
  if (!content.ok())
    throw DataError(path.string(), "must be a readable file of a run", content.problem, "give the folder that train wrote");
  return std::move(content.bytes);
}

double number_or_none(const nlohmann::json& j, const char* key) {
  const auto found = j.find(key);
  return found == j.end() || !found->is_number() ? kNoValue : found->get<double>();
}

EpochPoint point_of(const nlohmann::json& j) {
  return {.layer = j.at("layer"),
          .layer_index = j.at("layer_index"),
          .epoch = j.at("epoch"),
          .forward_evals = j.at("forward_evals"),
          .wall_s = j.at("wall_s"),
          .training_loss = number_or_none(j, "loss"),
          .train = number_or_none(j, "train"),
          .train_loss = number_or_none(j, "train_loss"),
          .test = number_or_none(j, "test"),
          .test_loss = number_or_none(j, "test_loss")};
}

void read_metrics(const fs::path& path, RunData& run) {
  std::istringstream in(file_text(path));
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty()) continue;
    const auto j = nlohmann::json::parse(line, nullptr, false);
    // A run that was killed while it wrote may end in half a line.
    if (j.is_discarded() && in.peek() == std::char_traits<char>::eof()) return;
    try {
      run.epochs.push_back(point_of(j));
      run.metric = j.value("metric", run.metric);
    } catch (const nlohmann::json::exception&) {
      throw DataError(fmt::format("{}:{}", path.string(), number), "must be a line of metrics of ffzero", line.substr(0, 40),
                      "the file is damaged");
    }
  }
}

nlohmann::json about_of(const RunData& run) {
  const auto found = run.arrays.find("about");
  if (found == run.arrays.end()) return nlohmann::json::object();
  const auto bytes = found->second.to<std::uint8_t>();
  auto about = nlohmann::json::parse(bytes.begin(), bytes.end(), nullptr, false);
  return about.is_object() ? about : nlohmann::json::object();
}

// Entry i of a list of names, without quotes; i itself if there is none.
std::string entry_of(const nlohmann::json& about, const char* list, Index i) {
  const auto names = about.find(list);
  if (names == about.end() || !names->is_array() || usize(i) >= names->size()) return std::to_string(i);
  const auto& name = (*names)[usize(i)];
  return name.is_string() ? name.get<std::string>() : name.dump();
}

const NpyArray& array_of(const RunData& run, const std::string& name) {
  const auto found = run.arrays.find(name);
  if (found == run.arrays.end() || found->second.shape.empty())
    throw DataError((run.folder / "evaluation.npz").string(), "must hold the array " + name, "none",
                    "the file is damaged or of another version");
  return found->second;
}

}  // namespace

std::vector<EpochPoint> values_when_stopped(const RunData& run) {
  const std::vector<EpochPoint>& epochs = run.epochs;
  std::vector<EpochPoint> values;
  const EpochPoint* best = nullptr;  // the last epoch of the best layer that was trained to its end
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    const EpochPoint& p = epochs[i];
    if (i > 0 && p.layer_index != epochs[i - 1].layer_index)
      if (const EpochPoint& last = epochs[i - 1]; best == nullptr || !(best->train > last.train)) best = &last;
    EpochPoint value = p;
    if (best != nullptr && best->train > p.train) {
      value.train = best->train;
      value.train_loss = best->train_loss;
      value.test = best->test;
      value.test_loss = best->test_loss;
    }
    values.push_back(value);
  }
  if (!values.empty() && run.summary.is_object()) {
    const auto& result = run.summary.at("final");
    values.back().train = result.at("train");
    values.back().test = result.at("test");
  }
  return values;
}

Matrix<double> RunData::matrix(const std::string& which) const {
  const NpyArray& array = array_of(*this, which);
  const auto values = array.to<double>();
  const Index rows = array.shape[0];
  const Index columns = rows == 0 ? 0 : isize(values.size()) / rows;
  return Eigen::Map<const Matrix<double>>(values.data(), rows, columns);
}

std::vector<std::int32_t> RunData::integers(const std::string& which) const { return array_of(*this, which).to<std::int32_t>(); }

std::string RunData::class_name(Index k) const { return entry_of(about, "class_names", k); }

std::string RunData::output_name(Index t) const { return entry_of(about, "output_names", t); }

Matrix<double> RunData::test_scores(Index layer) const {
  const NpyArray& array = array_of(*this, "test_scores");
  if (array.shape.size() != 3 || layer < 0 || layer >= array.shape[0])
    throw DataError((folder / "evaluation.npz").string(), "test_scores must have the shape (layers, samples, classes)", "another one",
                    "the file is damaged");
  const auto values = array.to<double>();
  const Index samples = array.shape[1], classes = array.shape[2];
  return Eigen::Map<const Matrix<double>>(values.data() + layer * samples * classes, samples, classes);
}

Index RunData::deciding_layer() const { return about.value("deciding_layer", array_of(*this, "test_scores").shape[0] - 1); }

std::vector<std::int32_t> RunData::decisions() const {
  if (has("test_vote")) return integers("test_vote");
  const NpyArray& array = array_of(*this, "test_predictions");
  const Index layer = deciding_layer();
  if (array.shape.size() != 2 || layer < 0 || layer >= array.shape[0])
    throw DataError((folder / "evaluation.npz").string(), "test_predictions must have the shape (layers, samples)", "another one",
                    "the file is damaged");
  const auto all = array.to<std::int32_t>();
  const auto first = all.begin() + layer * array.shape[1];
  return {first, first + array.shape[1]};
}

RunData read_run(const fs::path& folder) {
  RunData run;
  run.folder = folder;
  run.name = fs::absolute(folder).lexically_normal().filename().string();
  if (run.name.empty()) run.name = fs::absolute(folder).lexically_normal().parent_path().filename().string();
  if (!fs::exists(folder / "metrics.jsonl"))
    throw DataError(folder.string(), "must be a run folder", "no metrics.jsonl in it", "give the folder that ffzero train wrote");
  if (fs::exists(folder / "config.toml")) run.config = file_text(folder / "config.toml");
  read_metrics(folder / "metrics.jsonl", run);
  if (fs::exists(folder / "summary.json")) {
    run.summary = nlohmann::ordered_json::parse(file_text(folder / "summary.json"), nullptr, false);
    if (!run.summary.is_object())
      throw DataError((folder / "summary.json").string(), "must be JSON", "something else", "the file is damaged");
    run.metric = run.summary.at("final").at("metric");
  }
  if (fs::exists(folder / "evaluation.npz")) run.arrays = read_npz(folder / "evaluation.npz");
  run.about = about_of(run);
  return run;
}

std::string metric_title(const std::string& metric) { return metric == "r2" ? "R²" : "Accuracy"; }
std::string metric_words(const std::string& metric) { return metric == "r2" ? "R²" : "accuracy"; }

}  // namespace ffzero
