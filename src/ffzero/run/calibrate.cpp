// Calibrating the twin of a chip by itself.
// SPDX-License-Identifier: MIT
#include "ffzero/run/calibrate.hpp"

#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "ffzero/base/error.hpp"
#include "ffzero/checkpoint/checkpoint.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/settings/configured.hpp"
#include "ffzero/train/source.hpp"

namespace ffzero {

namespace {

using json = nlohmann::ordered_json;

double rms(const auto& values) { return std::sqrt(values.squaredNorm() / static_cast<double>(values.size())); }

const ChipMesh<float>& chip_of(const Network<float>& network, Index layer) {
  if (layer < 0 || layer >= network.layers())
    throw UsageError("--layer", fmt::format("the run has layers 0 .. {}", network.layers() - 1), std::to_string(layer),
                     "see ffzero inspect");
  const auto* chip = dynamic_cast<const ChipMesh<float>*>(network.layer(layer).map.get());
  if (chip == nullptr || chip->count() != 1)
    throw UsageError("calibrate", "needs one chip that is not its model", network.layer(layer).map->kind(),
                     "say what it is with --set model.mesh.chip.coupler=0.06 or --set model.mesh.chip.file=CHIP.npz");
  return *chip;
}

std::vector<ChipReading> read_chip_at(const CalibrateRequest& request, const TrainedNetwork& trained, const Splits& splits) {
  const Network<float>& network = trained.network();
  const Layer<float>& layer = network.layer(request.layer);
  const CalibrationOptions& o = request.options;
  const Executor executor(request.threads);
  SampleSource<float> source(splits.train, trained.encoder(), network, executor, {});
  while (source.depth() < request.layer) source.advance(std::nullopt);
  std::vector<std::uint32_t> order(usize(source.size()));
  RandomStream(request.seed, Stream::order, 0xFFFD).permutation(order);
  const RandomStream random(request.seed, Stream::direction, 0xFFFE, 0);
  std::vector<ChipReading> readings;
  std::vector<std::uint32_t> rows(usize(o.samples));
  for (Vector<float>& theta : calibration_settings(network.theta(request.layer, request.layer + 1), o, random)) {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = order[(readings.size() * rows.size() + i) % order.size()];
    ChipReading reading{.theta = std::move(theta), .x = {}, .powers = {}};
    source.gather(rows, 0, reading.x);
    Matrix<float> fields(reading.x.rows(), layer.map->output_shape().size());
    layer.map->forward(as_span(std::as_const(reading.theta)), reading.x, fields);
    reading.powers.resize(fields.rows(), layer.readout->output_shape().size());
    layer.readout->forward({}, fields, reading.powers);
    readings.push_back(std::move(reading));
  }
  return readings;
}

json found_errors(const Vector<double>& errors, const ErrorLayout& at) {
  const auto part = [&](Index begin) { return rms(errors.segment(begin, at.block)); };
  // e = -sin 2 delta
  return {{"coupler_left", 2.0 * part(at.left())}, {"coupler_right", 2.0 * part(at.right())},    {"theta_offset", part(at.theta_offset())},
          {"phi_offset", part(at.phi_offset())},   {"theta_gain", part(at.theta_gain())},        {"phi_gain", part(at.phi_gain())},
          {"crosstalk", errors[at.crosstalk()]},   {"detector_gain", rms(errors.tail(at.ports))}};
}

}  // namespace

nlohmann::ordered_json calibrate_run(const CalibrateRequest& request) {
  request.options.validate();
  const TrainedNetwork trained(load_run_on(request.run, request.overrides), request.threads);
  const ChipMesh<float>& chip = chip_of(trained.network(), request.layer);
  const Splits splits = load_splits(trained.config(), request.cache_dir);
  const MeshLayout& layout = chip.layout();
  const ErrorLayout at(layout);
  const std::string identity = chip.chip().identity();
  const std::vector<ChipReading> readings = read_chip_at(request, trained, splits);
  ChipTwin twin(layout, request.options.freedom, chip.chip().options.dac_bits);
  json since = nullptr;
  if (request.since) {
    const Vector<double> earlier = read_calibration(*request.since, layout, identity);
    twin.set_errors({earlier.data(), usize(earlier.size())});
  }
  const Vector<double> started = as_vector(twin.errors());
  const CalibrationReport report =
      twin.calibrate(readings, request.options, RandomStream(request.seed, Stream::direction, 0xFFFD, 0), request.stop);
  const Vector<double> errors = as_vector(twin.errors());
  if (request.since) since = found_errors(errors - started, at);
  if (!request.out.empty()) write_calibration(request.out, layout, errors, identity, report);
  return {{"run", request.run.string()},
          {"layer", request.layer},
          {"identity", identity},
          {"settings", request.options.settings},
          {"samples", request.options.samples},
          {"readings", request.options.settings * request.options.samples},
          {"error", {{"before", report.before}, {"after", report.after}, {"fitted", report.fitted}}},
          {"found", found_errors(errors, at)},
          {"since", since},
          {"file", request.out.string()}};
}

std::optional<ChipLoss> chip_loss(const std::filesystem::path& run, const std::filesystem::path& cache_dir) {
  // Other runs are not even loaded: devices may be gone.
  const TrainerState state = read_checkpoint(run / "checkpoint.npz");
  if (!state.described_by_config) return std::nullopt;
  const Config config = Config::parse(state.description, "config");
  const Values& values = config.values();
  // Readings that fail would fail here, too.
  if (values.is("model.kind", "device") || values.number("model.imperfect.fail") > 0.0) return std::nullopt;
  const bool chip = values.is("model.kind", "photonic") && (!chip_options(values).ideal() || !values.word("model.mesh.chip.file").empty());
  std::vector<std::pair<std::string, std::string>> none;
  if (chip) none.emplace_back("model.mesh.chip.file", "\"\"");
  for (const char* key : {"coupler", "phase", "phase_gain", "crosstalk", "dac_bits", "stuck", "loss_db", "detector_gain", "read_noise",
                          "adc_bits", "drift_rms"})
    if (chip) none.emplace_back(std::string("model.mesh.chip.") + key, "0");
  const bool imperfect = !imperfect_options(values).ideal();
  for (const ImperfectField& field : imperfect_fields())
    if (imperfect && field.effect && field.name != "fail") none.emplace_back("model.imperfect." + field.name, "0");
  // What single layers say of themselves stands.
  for (Index i = 0; i < config.layer_count(); ++i)
    if (imperfect_options(config.layer_values(i)).ideal() == imperfect) return std::nullopt;
  if (none.empty()) return std::nullopt;
  const TrainedNetwork real(load_run(run));
  const TrainedNetwork model(load_run_on(run, none));
  const Splits splits = load_splits(real.config(), cache_dir);
  const Evaluation on_chip = evaluate(real, splits.test, "test"), on_model = evaluate(model, splits.test, "test");
  return ChipLoss{.metric = on_chip.metric, .chip = on_chip.final_value, .model = on_model.final_value, .photonic = chip};
}

}  // namespace ffzero
