// ffzero device: serve, check, info, bench.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/device/check.hpp"
#include "ffzero/device/client.hpp"
#include "ffzero/device/serve.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/imperfect.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "output.hpp"

namespace ffzero::app {

namespace {

// --- serve --------------------------------------------------------------------------------------------------------------------------

struct DeviceServeOptions {
  std::string listen, model = "dense", imperfect;
  Index inputs = 49, outputs = 32, channels = 4, kernel = 3, size = 7, ports = 8;
  double limit = 0.0, step = 0.0;
  bool powers = false;
  ServeOptions serve;
};

/// A mesh and its detectors: fields in, phases, powers out.
class DetectedMesh final : public ForwardMap<float> {
 public:
  explicit DetectedMesh(Index ports) : mesh_(MeshLayout(ports)), detectors_(ports) {}
  [[nodiscard]] Shape input_shape() const override { return mesh_.input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return detectors_.output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return mesh_.parameter_count(); }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    Matrix<float> fields(x.rows(), mesh_.output_shape().size());
    mesh_.forward(theta, x, fields);
    detectors_.forward({}, fields, y);
  }
  [[nodiscard]] std::string kind() const override { return "mesh"; }

 private:
  InterferometerMesh<float> mesh_;
  Intensity<float> detectors_;
};

std::shared_ptr<ForwardMap<float>> ideal_map(const DeviceServeOptions& options) {
  if (options.model == "conv") {
    const ConvOptions conv{
        .input = {.channels = 1, .height = options.size, .width = options.size}, .channels = options.channels, .kernel = options.kernel};
    return std::make_shared<ConvBatchNorm<float>>(conv);
  }
  if (options.model == "mesh" && options.powers) return std::make_shared<DetectedMesh>(options.ports);
  if (options.model == "mesh") return std::make_shared<InterferometerMesh<float>>(MeshLayout(options.ports));
  return std::make_shared<Dense<float>>(Shape{.width = options.inputs}, options.outputs);
}

/// What a bench measures before it says how noisy it is: the largest standard deviation of an output, at random settings and inputs.
double measured_noise(const ForwardMap<float>& map, double limit) {
  constexpr Index kSettings = 4, kRows = 8, kRepeats = 16;
  const Index outputs = map.output_shape().size();
  Vector<float> theta(map.parameter_count());
  Matrix<float> x(kRows, map.input_shape().size()), y(kRows, outputs);
  double most = 0.0;
  for (std::uint32_t i = 0; i < kSettings; ++i) {
    const RandomStream random(1, Stream::test, i);
    random.fill_uniform(as_span(theta));
    theta.array() = static_cast<float>(limit > 0.0 ? limit : 1.0) * (2.0F * theta.array() - 1.0F);
    random.at(1).fill_uniform(std::span<float>(x.data(), usize(x.size())));
    Matrix<double> sum = Matrix<double>::Zero(kRows, outputs), squares = sum;
    for (Index r = 0; r < kRepeats; ++r) {
      evaluate_served(map, as_span(std::as_const(theta)), x, y);
      sum += y.cast<double>();
      squares += y.cast<double>().cwiseAbs2();
    }
    most = std::max(most, (squares - sum.cwiseAbs2() / double(kRepeats)).maxCoeff() / double(kRepeats - 1));
  }
  return std::sqrt(most);
}

int serve_device(const DeviceServeOptions& options) {
  constexpr const char* kImperfect = "--imperfect";
  const ImperfectOptions imperfections = imperfect_options(parse_numbers(options.imperfect, kImperfect), kImperfect);
  // A reading that fails is the host's to repeat.
  const auto map = imperfect_map<float>(ideal_map(options), imperfections, 0, 0);
  ServeOptions serving = options.serve;
  serving.identity = "ffzero-" + options.model;
  if (options.powers && options.model != "mesh") throw UsageError("--powers", "belongs to --model mesh", options.model, "leave it out");
  double noise = serving.noise;
  if (imperfections.read_noise > 0.0) {
    // Another one, so that what is served begins with its first reading.
    ImperfectOptions steady = imperfections;
    steady.drift_rms = steady.fail = 0.0;
    noise = std::hypot(noise, measured_noise(*imperfect_map<float>(ideal_map(options), steady, 0, 0), options.limit));
  }
  if (options.powers) serving.parameters = {{.first = 0, .count = map->parameter_count(), .unit = "rad"}};
  if (options.powers || noise > 0.0)
    serving.outputs = {{.first = 0, .count = map->output_shape().size(), .unit = options.powers ? "power" : "", .noise = noise}};
  if (options.limit > 0.0)
    serving.parameters = {{.first = 0, .count = map->parameter_count(), .min = -options.limit, .max = options.limit, .step = options.step}};
  catch_interrupts();
  if (options.listen.empty()) {
    serve(*map, serving, STDIN_FILENO, STDOUT_FILENO, interrupted);
    return kDone;
  }
  serve(*map, serving, parse_device_address(options.listen), interrupted,
        [](const std::string& address) { note("listening on {}\n", address); });
  return kDone;
}

void add_serve(CLI::App& device, Commands& commands) {
  auto options = std::make_shared<DeviceServeOptions>();
  CLI::App* serve = device.add_subcommand("serve", "A simulated device behind the device protocol: the twin that a lab is tested against");
  serve->add_option("--listen", options->listen, "tcp:HOST:PORT (port 0: any) or unix:PATH; default: standard input and output");
  serve->add_option("--model", options->model, "dense | conv | mesh")->check(CLI::IsMember({"dense", "conv", "mesh"}));
  serve->add_option("--inputs", options->inputs, "dense: inputs")->check(CLI::Range(1, 1 << 20));
  serve->add_option("--outputs", options->outputs, "dense: outputs")->check(CLI::Range(1, 1 << 20));
  serve->add_option("--size", options->size, "conv: height and width of the image")->check(CLI::Range(1, 4096));
  serve->add_option("--channels", options->channels, "conv: output channels")->check(CLI::Range(1, 4096));
  serve->add_option("--kernel", options->kernel, "conv: size of the kernels")->check(CLI::Range(1, 4096));
  serve->add_option("--ports", options->ports, "mesh: waveguides")->check(CLI::Range(2, 1024));
  serve->add_flag("--powers", options->powers, "mesh: outputs are the powers that detectors read, not fields");
  serve->add_option("--limit", options->limit, "parameters lie in -LIMIT .. LIMIT; 0: anywhere")->check(CLI::Range(0.0, 1e9));
  serve->add_option("--step", options->step, "resolution of limited parameters; 0: continuous")->check(CLI::Range(0.0, 1e9));
  serve->add_option("--noise", options->serve.noise, "standard deviation of each reading")->check(CLI::Range(0.0, 1e9));
  serve->add_option("--seed", options->serve.seed, "of the noise");
  serve->add_option("--imperfect", options->imperfect,
                    "what the map is not: \"NAME = NUMBER, ..\" with the names of model.imperfect.* (read_noise, dac_bits, fail, ..)");
  serve->add_option("--latency-ms", options->serve.latency_ms, "time that each answer is on its way")->check(CLI::Range(0.0, 60000.0));
  serve->add_option("--set-ms", options->serve.times.set_ms, "time that parameters take to settle")->check(CLI::Range(0.0, 60000.0));
  serve->add_option("--row-ms", options->serve.times.row_ms, "time that a row takes")->check(CLI::Range(0.0, 60000.0));
  serve->add_option("--watchdog-ms", options->serve.times.watchdog_ms, "silence of the host that leads to the safe state; 0: none")
      ->check(CLI::Range(0.0, 86400000.0));
  serve->add_option("--rows", options->serve.can.rows, "most rows of a batch")->check(CLI::Range(1, 1 << 20));
  serve->add_option("--pipeline", options->serve.can.pipeline, "most evaluations under way")->check(CLI::Range(1, 1024));
  serve->add_option("--store", options->serve.can.store, "inputs that are kept")->check(CLI::Range(0, 1 << 20));
  serve->add_option("--linemax", options->serve.can.linemax, "longest line in bytes")->check(CLI::Range(64, 1 << 20));
  serve->add_flag("--crc", options->serve.can.crc, "checksums");
  serve->add_flag("--text{false}", options->serve.can.f32le, "no binary frames");
  add_examples(*serve,
               {{"ffzero device serve --listen tcp:127.0.0.1:5000 --inputs 49 --outputs 32", "a dense layer behind a port"},
                {"ffzero device serve --listen unix:mesh.sock --model mesh --ports 8 --powers", "a mesh whose outputs are powers"}});
  serve->callback([options, &commands] { commands.chosen = [options] { return serve_device(*options); }; });
}

// --- check --------------------------------------------------------------------------------------------------------------------------

// Some shims and interpreters start slowly.
constexpr const char* kHelloHelp = "seconds until the device must have said what it is";
constexpr double kHello_s = 30.0;
Milliseconds of_seconds(double seconds) { return Milliseconds(static_cast<std::int64_t>(1000.0 * seconds)); }

struct DeviceCheckOptions {
  std::string address;
  double hello_s = kHello_s;
  CheckOptions check;
};

int check(const DeviceCheckOptions& options) {
  const DeviceAddress address = parse_device_address(options.address);
  const AddressLock lock(address);
  CheckOptions checking = options.check;
  checking.hello = of_seconds(options.hello_s);
  const auto steps = check_device(address, checking, system_clock(), [](const CheckStep& step) {
    fmt::print("{:<12}  {}{}{}\n", to_string(step.status), step.name, step.detail.empty() ? "" : ": ", step.detail);
    std::fflush(stdout);
  });
  const auto failed = std::count_if(steps.begin(), steps.end(), [](const CheckStep& s) { return s.status == CheckStatus::failed; });
  if (failed == 0) return kDone;
  throw CheckError("device check " + clean_text(options.address), "every step must hold",
                   std::to_string(failed) + " of " + std::to_string(steps.size()) + " that do not",
                   "docs/device-protocol.md says what is meant");
}

void add_check(CLI::App& device, Commands& commands) {
  auto options = std::make_shared<DeviceCheckOptions>();
  CLI::App* command =
      device.add_subcommand("check", "Test whether a device keeps the device protocol: one line a step, exit code 6 if one fails");
  command->add_option("address", options->address, "exec:PROGRAM | tcp:HOST:PORT | unix:PATH | serial:PATH?baud=RATE")->required();
  command->add_flag("--out-of-range", options->check.out_of_range, "also send values out of range; may harm a device without limits");
  command->add_option("--drift", options->check.drift_s, "seconds to watch a reading")->check(CLI::Range(0.0, 86400.0));
  command->add_option("--silence", options->check.silence_s, "longest watchdog to wait for, in seconds")->check(CLI::Range(0.0, 86400.0));
  command->add_option("--calls", options->check.calls, "evaluations that must not make it grow")->check(CLI::Range(1, 1000000000));
  command->add_option("--seed", options->check.seed, "of the parameters and inputs");
  command->add_option("--hello", options->hello_s, kHelloHelp)->check(CLI::Range(0.1, 3600.0));
  add_examples(*command, {{"ffzero device check tcp:127.0.0.1:5000", "before the first training on it"}});
  command->callback([options, &commands] { commands.chosen = [options] { return check(*options); }; });
}

// --- info ---------------------------------------------------------------------------------------------------------------------------

void print_ranges(const char* word, const std::vector<ParameterRange>& ranges) {
  for (const ParameterRange& range : ranges) {
    fmt::print("{:<10}  {} .. {}: {:g} .. {:g}{}{}", word, range.first, range.first + range.count - 1, range.min, range.max,
               range.unit.empty() ? "" : " ", range.unit);
    if (range.step > 0.0) fmt::print(", step {:g}", range.step);
    if (std::isfinite(range.slew)) fmt::print(", slew {:g} a second", range.slew);
    if (range.periodic()) fmt::print(", period {:g}", range.period);
    if (range.safe != 0.0) fmt::print(", safe {:g}", range.safe);
    if (range.noise > 0.0) fmt::print(", noise {:g}", range.noise);
    fmt::print("\n");
  }
}

int info(const std::string& address, double hello_s) {
  ClientOptions client_options;
  client_options.hello = of_seconds(hello_s);
  const DeviceClient client(address, client_options);
  const DeviceDescription& said = client.description();
  fmt::print("{:<10}  {}\n{:<10}  {} inputs, {} outputs, {} parameters\n", "identity", said.identity, "shape", said.inputs, said.outputs,
             said.parameters);
  print_ranges("parameters", said.parameter_ranges);
  print_ranges("inputs", said.input_ranges);
  print_ranges("outputs", said.output_ranges);
  fmt::print("{:<10}  set {:g}, row {:g}, answer {:g}, safe {:g}, watchdog {:g} (ms)\n", "times", said.times.set_ms, said.times.row_ms,
             said.times.answer_ms, said.times.safe_ms, said.times.watchdog_ms);
  const DeviceCapabilities& can = said.can;
  fmt::print("{:<10}  lines of {} bytes, {} rows, pipeline {}, store {}{}{}{}{}{}\n", "can", can.linemax, can.rows, can.pipeline, can.store,
             can.get ? ", get" : "", can.f32le ? ", f32le" : "", can.crc ? ", crc" : "", can.ping ? ", ping" : "",
             can.address ? ", address" : "");
  return kDone;
}

// --- bench --------------------------------------------------------------------------------------------------------------------------

struct DeviceBenchOptions {
  std::string address;
  double hello_s = kHello_s;
  Index rows = 0, evaluations = 200, pipeline = 0;
  bool text = false;
};

double processor_s() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

int bench(const DeviceBenchOptions& options) {
  ClientOptions client_options;
  client_options.hello = of_seconds(options.hello_s);
  client_options.pipeline = options.pipeline;
  client_options.binary = !options.text;
  DeviceClient client(options.address, client_options);
  const DeviceDescription& said = client.description();
  const Index rows = options.rows > 0 ? options.rows : said.can.rows;
  const auto ranges = DeviceDescription::spread(said.parameter_ranges, said.parameters);
  const auto inputs = DeviceDescription::spread(said.input_ranges, said.inputs);
  // Two parameter vectors in turn, as both sides of a difference: every value is sent every time.
  std::vector<std::vector<float>> thetas(2, std::vector<float>(ranges.size()));
  for (std::size_t i = 0; i < ranges.size(); ++i)
    for (const int side : {0, 1}) thetas[usize(side)][i] = static_cast<float>(to_device_units(ranges[i], side == 0 ? 0.01 : -0.01));
  Matrix<float> x(rows, said.inputs);
  RandomStream(1, Stream::test).fill_uniform(std::span<float>(x.data(), usize(x.size())));
  for (Index i = 0; i < rows; ++i)
    for (Index k = 0; k < said.inputs; ++k) x(i, k) = static_cast<float>(to_device_units(inputs[usize(k)], x(i, k)));
  std::vector<Matrix<float>> ys(usize(options.evaluations), Matrix<float>(rows, said.outputs));
  std::vector<DeviceJob> jobs;
  for (Index i = 0; i < options.evaluations; ++i) jobs.push_back({.theta = thetas[usize(i % 2)], .x = x, .y = ys[usize(i)]});

  client.ready();
  client.evaluate(thetas[0], x, ys[0]);
  const auto clock = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  double begun = clock();
  constexpr Index kSingles = 20;
  for (Index i = 0; i < kSingles; ++i) client.evaluate(thetas[usize(i % 2)], x.topRows(1), ys[0].topRows(1));
  const double latency = (clock() - begun) / static_cast<double>(kSingles);
  begun = clock();
  const double processor = processor_s();
  client.evaluate(jobs);
  const double seconds = clock() - begun, used = processor_s() - processor, n = static_cast<double>(options.evaluations);
  fmt::print("latency      {:.3f} ms for one row with new parameters\n", latency * 1e3);
  fmt::print("evaluation   {:.3f} ms for {} parameters and {} rows of {} inputs and {} outputs\n", seconds / n * 1e3, said.parameters, rows,
             said.inputs, said.outputs);
  fmt::print("rows         {:.0f} a second\n", n * static_cast<double>(rows) / seconds);
  fmt::print("processor    {:.1f} us of the host an evaluation\n", used / n * 1e6);
  const auto bytes = 4 * (said.parameters + rows * (said.inputs + said.outputs));
  fmt::print("values       {} bytes an evaluation as binary32\n", bytes);
  if (client.receipt().retries > 0) fmt::print("retries      {}\n", client.receipt().retries);
  return kDone;
}

}  // namespace

void add_device(CLI::App& app, Commands& commands) {
  CLI::App* device =
      app.add_subcommand("device", "Devices behind the device protocol: serve a simulated one, check, describe and time any");
  device->require_subcommand(1);
  add_examples(*device, {{"ffzero device info tcp:127.0.0.1:5000", "what is at this address"}});
  add_serve(*device, commands);
  add_check(*device, commands);
  auto asked = std::make_shared<DeviceCheckOptions>();
  CLI::App* info_command = device->add_subcommand("info", "Show what a device says about itself");
  info_command->add_option("address", asked->address, "as of device check")->required();
  info_command->add_option("--hello", asked->hello_s, kHelloHelp)->check(CLI::Range(0.1, 3600.0));
  add_examples(*info_command, {{"ffzero device info tcp:127.0.0.1:5000", "shapes, ranges and times"}});
  info_command->callback([asked, &commands] { commands.chosen = [asked] { return info(asked->address, asked->hello_s); }; });
  auto options = std::make_shared<DeviceBenchOptions>();
  CLI::App* bench_command = device->add_subcommand("bench", "Measure latency, rows a second and the host's processor time");
  bench_command->add_option("address", options->address, "as of device check")->required();
  bench_command->add_option("--rows", options->rows, "rows of a batch; 0: as many as the device takes")->check(CLI::Range(0, 1 << 20));
  bench_command->add_option("--evaluations", options->evaluations, "evaluations that are timed")->check(CLI::Range(1, 1000000));
  bench_command->add_option("--pipeline", options->pipeline, "evaluations under way; 0: as the device allows")->check(CLI::Range(0, 1024));
  bench_command->add_flag("--text", options->text, "no binary frames");
  bench_command->add_option("--hello", options->hello_s, kHelloHelp)->check(CLI::Range(0.1, 3600.0));
  add_examples(*bench_command, {{"ffzero device bench tcp:127.0.0.1:5000 --rows 64", "how long evaluations take"}});
  bench_command->callback([options, &commands] { commands.chosen = [options] { return bench(*options); }; });
}

}  // namespace ffzero::app
