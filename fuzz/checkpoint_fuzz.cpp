// Checkpoints whose checksums are right and whose contents are not: what eval, inspect and train --resume make of them. An input is
//   the number of a sound checkpoint, what to make of the JSON of its array "meta" (a merge patch, or, with "format" in it or if it is no
//   JSON object, the whole text), and, after a zero byte, changes of its arrays.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/base/random.hpp"
#include "ffzero/checkpoint/checkpoint.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/settings/configured.hpp"
#include "fuzz_target.hpp"

namespace {

using ffzero::Index;

// Complete enough that a checkpoint holds every array that there is: scales of features, components, moments, recycled directions, reads.
constexpr std::array<const char*, 5> kSettings{
    "model.layers = [6, 4]\nmodel.pca = [3, 3]\nvote.layer = \"best\"\n",
    "model.kind = \"cnn\"\nmodel.conv.channels = [2]\nmodel.conv.kernel = [3]\nmodel.layers = [5]\n[objective]\nscope = \"end_to_end\"\n"
    "[gradient]\nestimator = \"adjoint\"\n",
    "model.kind = \"photonic\"\ndataset.crop = 3\nmodel.mesh.layers = 1\n",
    "model.layers = [6]\n[gradient]\nestimator = \"directional\"\ndirections = 3\nrecycle = 0.3\n[update]\nschedule = \"plateau\"\n",
    "model.layers = [5, 5]\n[gradient]\nestimator = \"adjoint\"\n"};

ffzero::Dataset samples(std::size_t kind, std::uint32_t step) {
  constexpr Index kSize = 24;
  const bool images = kind == 1 || kind == 2, regression = kind == 3;
  ffzero::DatasetInfo info;
  info.name = "npz";
  info.task = regression ? ffzero::Task::regression : ffzero::Task::classification;
  info.classes = regression ? 0 : 3;
  info.outputs = regression ? 2 : 1;
  info.shape = images ? ffzero::Shape{.channels = 1, .height = 6, .width = 6} : ffzero::Shape{.width = 5};
  if (regression) info.target_scales = {{.offset = 1.0, .scale = 2.0}, {.offset = 0.0, .scale = 1.0}};
  std::vector<float> values(ffzero::usize(kSize * info.shape.size()));
  ffzero::RandomStream(1, ffzero::Stream::test, step).fill_normal(std::span<float>(values));
  std::vector<std::int32_t> labels;
  std::vector<float> targets;
  for (Index i = 0; i < kSize; ++i) labels.push_back(static_cast<std::int32_t>(i % 3));
  for (Index i = 0; i < 2 * kSize; ++i) targets.push_back(std::sin(static_cast<float>(i)));
  if (regression) return {info, std::move(values), std::move(targets)};
  if (!images) return {info, std::move(values), std::move(labels)};
  std::vector<std::uint8_t> pixels;
  for (const float v : values) pixels.push_back(static_cast<std::uint8_t>(std::clamp(128.0F + 40.0F * v, 0.0F, 255.0F)));
  return {info, std::move(pixels), std::move(labels)};
}

/// A small run that was stopped in its middle.
class Run {
 public:
  explicit Run(std::size_t kind)
      : splits_{.train = samples(kind, 1), .validation = {}, .test = samples(kind, 2)}, config_(config_of(kSettings.at(kind), splits_)) {
    auto trainer = make([steps = 0]() mutable { return ++steps > 4; });
    static_cast<void>(trainer.run());
    archive_ = ffzero::checkpoint_of(trainer.state());
  }

  [[nodiscard]] const ffzero::NpzArchive& archive() const { return archive_; }

  /// As train --resume: what does not fit is data (false), what goes wrong later is a divergence or a defect.
  bool go_on(const ffzero::NpzArchive& checkpoint) const {
    auto trainer = make([steps = 0]() mutable { return ++steps > 3; });
    try {
      trainer.restore(ffzero::state_of(checkpoint, "input"), "input");
    } catch (const ffzero::Error&) {
      return false;
    }
    static_cast<void>(trainer.run());
    static_cast<void>(ffzero::checkpoint_of(trainer.state()));
    return true;
  }

 private:
  static ffzero::Config config_of(const std::string& settings, const ffzero::Splits& splits) {
    ffzero::Config config = ffzero::Config::parse(
        "dataset.name = \"npz\"\ndataset.dir = \"d.npz\"\ntraining.epochs = 2\ntraining.batch_size = 8\n" + settings, "settings");
    config.resolve(ffzero::data_facts(splits));
    return config;
  }
  [[nodiscard]] ffzero::Trainer<float> make(std::function<bool()> stop) const {
    static const auto executor = std::make_shared<const ffzero::Executor>(1);
    ffzero::TrainEvents events;
    events.stop_requested = std::move(stop);
    return ffzero::make_trainer<float>(config_, splits_, executor, std::move(events));
  }

  ffzero::Splits splits_;
  ffzero::Config config_;
  ffzero::NpzArchive archive_;
};

const Run& sound_run(std::size_t kind) {
  static std::array<std::unique_ptr<Run>, kSettings.size()> runs;
  if (!runs.at(kind)) runs.at(kind) = std::make_unique<Run>(kind);
  return *runs.at(kind);
}

void change_meta(ffzero::NpzArchive& archive, std::string_view text) {
  std::string whole(text);
  if (const auto patch = nlohmann::json::parse(text, nullptr, false); patch.is_object() && !patch.contains("format")) {
    const auto own = archive.at("meta").to<std::uint8_t>();
    auto meta = nlohmann::json::parse(own.begin(), own.end());
    meta.merge_patch(patch);
    whole = meta.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(whole.data());
  archive["meta"] = ffzero::NpyArray::of<std::uint8_t>({bytes, whole.size()}, {static_cast<Index>(whole.size())});
}

/// One change: which array, what, how much. What a reader of files can hand on, and no more: as many bytes as elements.
void change(ffzero::NpzArchive& archive, std::uint8_t which, std::uint8_t what, std::uint8_t much) {
  if (archive.empty()) return;
  const auto found = std::next(archive.begin(), which % static_cast<std::ptrdiff_t>(archive.size()));
  ffzero::NpyArray& array = found->second;
  const auto replace = [&](std::vector<double> values, std::vector<Index> shape) {
    array = ffzero::NpyArray::of<double>(values, std::move(shape));
  };
  switch (what % 8) {
    case 0:
      archive.erase(found);
      return;
    case 1:
      replace(std::vector<double>(much, 0.5), {much});
      return;
    case 2:
      array.shape.insert(array.shape.begin(), 1);
      return;
    case 3:
      std::reverse(array.shape.begin(), array.shape.end());
      return;
    case 4:
      array.shape = {array.size()};
      return;
    case 5: {
      constexpr std::array<double, 6> kOdd{
          std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -1e300, 1e30, -0.0, 1e-320};
      if (array.is_complex() || array.type == ffzero::NpyArray::Type::text) return;
      auto values = array.to<double>();
      if (!values.empty()) values[much % values.size()] = kOdd.at(much % kOdd.size());
      replace(values, array.shape);
      return;
    }
    case 6:
      archive["layer." + std::to_string(much % 4) + ".extra"] = array;
      return;
    default: {
      const auto other = std::next(archive.begin(), much % static_cast<std::ptrdiff_t>(archive.size()));
      std::swap(array, other->second);
      return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Run& run = sound_run(data[0] % kSettings.size());
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t end = std::min(rest.find('\0'), rest.size());
  ffzero::NpzArchive archive = run.archive();
  if (end > 0) change_meta(archive, rest.substr(0, end));
  for (std::size_t i = end + 1; i + 3 <= rest.size(); i += 3)
    change(archive, static_cast<std::uint8_t>(rest[i]), static_cast<std::uint8_t>(rest[i + 1]), static_cast<std::uint8_t>(rest[i + 2]));

  const auto look = [&] {
    const ffzero::TrainedNetwork trained(ffzero::load_run(archive, "input", {.addresses = {}, .trusted = false, .stand_ins = true}), 1);
    const std::string text = ffzero::inspect_network(trained).dump();
    ffzero::fuzz::require(!text.empty());
    for (std::size_t kind = 0; kind < kSettings.size(); ++kind) {
      const ffzero::Dataset some = samples(kind, 3);
      if (some.shape() == trained.info().shape && some.is_bytes() == trained.takes_bytes())
        static_cast<void>(trained.infer(some, "samples"));
    }
  };
  if (size == 1) {
    look();  // sound, so nothing is refused
    ffzero::fuzz::require(run.go_on(archive));
    return 0;
  }
  ffzero::fuzz::refuse_or_accept(look);
  ffzero::fuzz::refuse_or_accept([&] { static_cast<void>(run.go_on(archive)); });
  return 0;
}
