// Probing a run.
// SPDX-License-Identifier: MIT
#include "ffzero/run/probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/settings/configured.hpp"
#include "ffzero/train/block_probe.hpp"
#include "ffzero/train/source.hpp"

namespace ffzero {

namespace {

using json = nlohmann::ordered_json;

json or_null(double value) { return value > 0.0 ? json(value) : json(nullptr); }

json to_json(const BlockProbe& p, const char* theta) {
  json slopes = json::array(), along = json::array(), steps = json::array(), cosine = nullptr;
  for (std::size_t i = 0; i < p.ladder.eps.size(); ++i) slopes.push_back({{"eps", p.ladder.eps[i]}, {"mismatch", p.ladder.mismatch[i]}});
  for (const LossAlong& a : p.along) along.push_back({{"distance", a.distance}, {"uphill", a.backward}, {"downhill", a.forward}});
  for (std::size_t i = 0; i < p.scan.lr.size(); ++i) steps.push_back({{"lr", p.scan.lr[i]}, {"change", p.scan.change[i]}});
  if (p.angle)
    cosine = {{"mean", p.angle->cosine}, {"spread", p.angle->spread}, {"length", p.angle->length}, {"between_batches", p.angle->coherence}};
  return {{"theta", theta},
          {"loss", p.loss},
          {"cosine", cosine},
          {"expected_cosine", p.expected_cosine},
          {"signal", p.signal},
          {"noise", p.noise},
          {"slopes", slopes},
          {"along", along},
          {"curvature", p.curvature},
          {"steps", steps},
          {"suggested", {{"eps", or_null(p.eps)}, {"lr", or_null(p.lr)}}}};
}

Splits data_of(const ProbeRequest& request, const TrainedNetwork& trained) {
  DatasetOptions wanted = dataset_options(trained.config().values());
  if (!request.data_dir.empty()) wanted.dir = request.data_dir;
  if (wanted.dir.empty()) wanted.dir = request.cache_dir;
  Splits splits = load_dataset(wanted);
  if (splits.train.shape() != trained.info().shape || splits.train.is_bytes() != trained.takes_bytes() ||
      splits.train.task() != trained.task())
    throw DataError(splits.train.name(), "samples must be those that the network was trained on, " + to_string(trained.info().shape),
                    to_string(splits.train.shape()), "give the data set back that the run began with");
  return splits;
}

// Batches of the run's first epoch, as its first steps saw them, but without dropout at the block's input.
class Batches {
 public:
  Batches(const Dataset& data, const SampleSource<float>& source, const BlockSetup<float>& setup, std::uint64_t seed)
      : data_(data),
        source_(source),
        mean_(setup.block.reduction == Reduction::mean),
        seed_(seed),
        part_(static_cast<std::uint32_t>(setup.first)) {
    rows_ = std::min(setup.options.batch_size, source.size());
    order_.resize(usize(source.size()));
    RandomStream(seed, Stream::order, part_, 0).permutation(order_);
  }
  [[nodiscard]] Index rows() const { return rows_; }
  Batch<float> operator()(Index i) {
    const Index first = i % (source_.size() / rows_) * rows_;
    const auto rows = std::span<const std::uint32_t>(order_).subspan(usize(first), usize(rows_));
    source_.gather(rows, 0, x_);
    Targets targets = source_.targets(rows, labels_, values_);
    targets.weights = batch_weights(data_, rows, mean_, weights_);
    return {.x = x_, .targets = targets, .dropout = RandomStream(seed_, Stream::dropout, part_, static_cast<std::uint64_t>(i))};
  }

 private:
  const Dataset& data_;
  const SampleSource<float>& source_;
  bool mean_;
  std::uint64_t seed_;
  std::uint32_t part_;
  Index rows_;
  std::vector<std::uint32_t> order_;
  Matrix<float> x_;
  std::vector<std::int32_t> labels_;
  std::vector<double> values_, weights_;
};

}  // namespace

nlohmann::ordered_json probe_run(const ProbeRequest& request) {
  const TrainedNetwork trained = TrainedNetwork::load(request.run, request.threads, request.devices);
  const Config& config = trained.config();
  const Network<float>& network = trained.network();
  if (request.layer && (*request.layer < 0 || *request.layer >= network.layers()))
    throw UsageError("--layer", fmt::format("the run has layers 0 .. {}", network.layers() - 1), std::to_string(*request.layer),
                     "see ffzero inspect");
  if (request.draws < 2) throw UsageError("--draws", "must be at least 2", std::to_string(request.draws));
  const Splits splits = data_of(request, trained);
  const Executor executor(request.threads);
  Ledger ledger(network.layers());
  auto setups = make_block_setups<float>(config.plan(network.layers()), network, splits.train.size(), executor, ledger);
  const std::uint64_t seed = config.values().seed();
  SampleSource<float> source(splits.train, trained.encoder(), network, executor, {});
  json blocks = json::array();
  std::int64_t evaluations = 0, pullbacks = 0;
  for (auto& setup : setups) {
    while (source.depth() < setup.first) source.advance(std::nullopt);
    if (request.layer && (*request.layer < setup.first || *request.layer >= setup.last)) continue;
    if (network.front(setup.first) != nullptr) source.apply_front(kEvaluationRows);
    Batches batches(splits.train, source, setup, seed);
    const RandomStream random(seed, Stream::direction, static_cast<std::uint32_t>(setup.first));
    json at = json::array();
    const auto probe = [&](std::span<const float> theta, const char* name) {
      const BlockProbe result = probe_block<float>(
          setup, theta, [&](Index i) { return batches(i); }, request.draws, random, executor, ledger);
      evaluations += result.forward_evals;
      pullbacks += result.pullbacks;
      at.push_back(to_json(result, name));
    };
    const Vector<float> initial = network.initial_parameters(setup.first, setup.last, seed);
    probe(as_span(initial), "initial");
    probe(network.theta(setup.first, setup.last), "checkpoint");
    const Values v = config.layer_values(setup.first);
    const bool directional = v.is("gradient.estimator", "directional");
    const ParameterLayout& layout = setup.gradient->layout();
    blocks.push_back({{"name", setup.name},
                      {"layer", setup.last - 1},
                      {"estimator", v.word("gradient.estimator")},
                      {"information", to_string(setup.gradient->information())},
                      {"parameters", setup.block.parameter_count()},
                      {"groups", layout.groups},
                      {"directions", directional ? json(v.integer("gradient.directions")) : json(nullptr)},
                      {"batch", batches.rows()},
                      {"eps", directional ? json(v.at("gradient.eps")) : json(nullptr)},
                      {"rule", v.word("update.rule")},
                      {"lr", v.at("update.lr")},
                      {"at", at}});
  }
  return {{"run", request.run.string()}, {"blocks", blocks}, {"forward_evals", evaluations}, {"pullbacks", pullbacks}};
}

}  // namespace ffzero
