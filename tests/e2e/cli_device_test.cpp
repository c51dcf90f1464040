// Training through devices from the command line.
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <pty.h>
#include <termios.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <thread>

#include "device_runs.hpp"
#include "ffzero/device/serve.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/settings/configured.hpp"
#include "refusal.hpp"
#include "support/project_folder.hpp"
#include "support/served.hpp"

namespace ffzero {
namespace {

namespace fs = std::filesystem;
using test::Arguments;
using test::Outcome;
using test::operator+;  // NOLINT(misc-unused-using-decls): clang-tidy overlooks operators
using test::Workplace;
using testing::HasSubstr;
using testing::Not;

const std::string kServe = std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 6 --outputs 4";

Arguments train_devices(const Workplace& place, const std::vector<std::string>& addresses, const std::string& out) {
  Arguments arguments = test::train_on(place, test::sample_archive(test::kDeviceData)) + test::kFewSteps + Arguments{"--out", out};
  for (const std::string& address : addresses) arguments = arguments + Arguments{"--device", address};
  return arguments;
}

/// The map that `ffzero device serve` serves, in a thread of this process.
test::Served served_dense(const std::string& listen, double noise) {
  ServeOptions options;
  options.noise = noise;
  return {std::make_unique<Dense<float>>(Shape{.width = 6}, 4), listen, options};
}

/// The same behind a serial line, one end of which is ours.
class ServedOnLine {
 public:
  explicit ServedOnLine(double noise) {
    char name[256] = {};
    int line = -1;
    EXPECT_EQ(::openpty(&ours_, &line, name, nullptr, nullptr), 0);
    termios raw{};
    ::tcgetattr(line, &raw);
    ::cfmakeraw(&raw);
    ::tcsetattr(line, TCSANOW, &raw);
    held_ = line;  // a line that nobody holds open would be hung up between two hosts
    address_ = std::string("serial:") + name;
    options_.noise = noise;
    thread_ = std::thread([this] { serve(map_, options_, ours_, ours_, [this] { return stop_.load(); }); });
  }
  ~ServedOnLine() {
    stop_ = true;
    thread_.join();
    ::close(ours_);
    ::close(held_);
  }
  ServedOnLine(const ServedOnLine&) = delete;
  ServedOnLine& operator=(const ServedOnLine&) = delete;
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  Dense<float> map_{{.width = 6}, 4};
  ServeOptions options_;
  int ours_ = -1, held_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  std::string address_;
};

/// Nothing but a function, as somebody's own program would wrap it.
class PlainMap final : public ForwardMap<float> {
 public:
  [[nodiscard]] Shape input_shape() const override { return map_.input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return map_.output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return map_.parameter_count(); }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    map_.forward(theta, x, y);
  }

 private:
  Dense<float> map_{{.width = 6}, 4};
};

// What the run's own settings give on a map in this process.
std::vector<float> learnt_in_process(const Workplace& place, const std::string& run) {
  Config config = Config::load({.file = place.path(run) / "config.toml", .overrides = {}, .devices = {}});
  const Splits splits = load_dataset(dataset_options(config.values()));
  config.resolve(data_facts(splits));
  const auto executor = std::make_shared<const Executor>(1);
  std::vector<Layer<float>> layers(1);
  layers[0].name = "device0";
  layers[0].map = std::make_shared<PlainMap>();
  Network<float> network({.input = {.width = 6}, .classes = 3, .layers = layers, .seed = config.values().seed()}, executor);
  auto trainer = make_trainer<float>(config, std::move(network), splits, executor);
  static_cast<void>(trainer.run());
  const auto theta = trainer.network().theta(0, 1);
  return {theta.begin(), theta.end()};
}

TEST(DeviceTraining, GivesTheSameBitsOverEveryWireAndInProcess) {
  Workplace place;
  for (const double noise : {0.0, 0.01}) {
    const std::string name = noise > 0.0 ? "noisy-" : "quiet-";
    const std::string exec = kServe + " --noise " + std::to_string(noise);
    test::succeed(place, train_devices(place, {exec}, name + "exec"));
    const std::vector<float> expected = learnt(place, name + "exec");
    {
      const test::Served tcp = served_dense("tcp:127.0.0.1:0", noise);
      test::succeed(place, train_devices(place, {tcp.address()}, name + "tcp"));
      EXPECT_EQ(learnt(place, name + "tcp"), expected);
    }
    {
      const test::Served local = served_dense("unix:" + place.path("a.sock").string(), noise);
      test::succeed(place, train_devices(place, {local.address()}, name + "unix"));
      EXPECT_EQ(learnt(place, name + "unix"), expected);
    }
    const ServedOnLine line(noise);
    test::succeed(place, train_devices(place, {line.address()}, name + "serial"));
    EXPECT_EQ(learnt(place, name + "serial"), expected);
    if (noise > 0.0) continue;
    const std::vector<float> in_process = learnt_in_process(place, name + "exec");
    const auto begin = std::search(expected.begin(), expected.end(), in_process.begin(), in_process.end());
    EXPECT_NE(begin, expected.end()) << "the parameters of a map in this process";
  }
  const auto summary = summary_of(place, "noisy-exec");
  EXPECT_NEAR(summary.at("devices").at(0).at("noise").at("measured").get<double>(), 0.01, 0.005);
  EXPECT_EQ(summary.at("devices").at(0).at("failures"), 0);
  EXPECT_GT(summary.at("devices").at(0).at("readings").get<int>(), 96 * 2 * 4);
  EXPECT_EQ(summary.at("information"), "opaque");
}

// Passes bytes to a program and ends it, and itself, after so many of them; counts its starts in a file.
std::string flaky(const Workplace& place, int limit) {
  const std::string script = place
                                 .write("flaky.py",
                                        "import os, subprocess, sys\n"
                                        "left = int(sys.argv[1])\n"
                                        "open(sys.argv[2], 'a').write('started\\n')\n"
                                        "p = subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE)\n"
                                        "while True:\n"
                                        "    data = os.read(0, 4096)\n"
                                        "    if not data: break\n"
                                        "    left -= len(data)\n"
                                        "    if left < 0:\n"
                                        "        p.kill()\n"
                                        "        os._exit(1)\n"
                                        "    p.stdin.write(data)\n"
                                        "    p.stdin.flush()\n"
                                        "p.stdin.close()\n"
                                        "p.wait()\n")
                                 .string();
  return "exec:python3 " + script + " " + std::to_string(limit) + " " + place.path("starts").string() + " " + kServe.substr(5);
}

TEST(DeviceTraining, LearnsTheMatrixOfAServedMeshAndNoticesADeviceThatIsNone) {
  Workplace place;
  const auto train = [&](const std::string& device, const std::string& out) {
    return test::train_on(place, test::sample_archive(test::kDeviceData)) + Arguments{"--epochs",  "20",
                                                                                      "--threads", "1",
                                                                                      "--set",     "gradient.estimator=transfer",
                                                                                      "--set",     "gradient.transfer.parameters=5",
                                                                                      "--set",     "update.lr=0.1",
                                                                                      "--out",     out,
                                                                                      "--device",  device};
  };
  const std::string mesh = std::string("exec:'") + FFZERO_PROGRAM + "' device serve --model mesh --powers --ports 3";
  test::succeed(place, train(mesh, "mesh"));
  const auto learnt_matrix = summary_of(place, "mesh");
  EXPECT_EQ(learnt_matrix.at("information"), "transfer");
  EXPECT_FALSE(learnt_matrix.at("layers").at(0).contains("fallback"));
  EXPECT_EQ(learnt_matrix.at("devices").at(0).at("failures"), 0);
  // 24 probes, 16 fields twice; then in each fifth of 120 steps 16 fields and a batch of 16, and 16 fields for each of 5, then of 4 phases.
  EXPECT_EQ(learnt_matrix.at("forward_evals").at("training"), 24 + 32 + 12 * (32 + 5 * 16 + 32 + 4 * 16));

  test::succeed(place, train(kServe, "dense"));
  EXPECT_THAT(test::read_file(place.path("dense") / "log.txt"), HasSubstr("going on with estimates from outputs alone"));
  const auto outputs_alone = summary_of(place, "dense");
  EXPECT_EQ(outputs_alone.at("information"), "opaque");
  EXPECT_GT(outputs_alone.at("layers").at(0).at("fallback").at("held_out_error"), 0.5);

  // Asked to stop there it does, and goes on with outputs alone when it is told to.
  const test::Outcome ended = place.run(train(kServe, "ended") + Arguments{"--set", "gradient.fallback=stop"});
  EXPECT_EQ(ended.code, 6) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("must miss held-out readings by no more than gradient.transfer.gate = 0.5; got "));
  EXPECT_THAT(test::read_file(place.path("ended") / "log.txt"), HasSubstr("; if not, it ends after 56 readings"));
  const Arguments resume{"train", "--quiet", "--no-report", "--resume", "ended", "--device", kServe};
  test::expect_refused(place, resume + Arguments{"--set", "update.lr=0.2"}, 2, {"--resume", "gradient.fallback", "update.lr"});
  test::expect_refused(place, resume + Arguments{"--set", "gradient.fallback=maybe"}, 3, {"gradient.fallback", "maybe"});
  test::succeed(place, resume + Arguments{"--set", "gradient.fallback=outputs"});
  EXPECT_EQ(learnt(place, "ended"), learnt(place, "dense"));
  const auto went_on = summary_of(place, "ended");
  EXPECT_EQ(went_on.at("layers"), outputs_alone.at("layers"));
  EXPECT_EQ(went_on.at("forward_evals").at("training"), outputs_alone.at("forward_evals").at("training"));
  EXPECT_EQ(went_on.at("forward_evals").at("failed"), 24 + 32);
  EXPECT_THAT(test::read_file(place.path("ended") / "config.toml"), HasSubstr("fallback = \"outputs\""));
  test::expect_refused(place, resume + Arguments{"--set", "gradient.fallback=stop"}, 2, {"--resume", "goes on with a run as it is"});
}

TEST(DeviceTraining, SurvivesADeviceThatDiesAndGoesOnWithARunThatStopped) {
  Workplace place;
  test::succeed(place, train_devices(place, {kServe}, "whole"));
  const std::vector<float> expected = learnt(place, "whole");

  test::succeed(place, train_devices(place, {flaky(place, 8000)}, "restarted"));
  EXPECT_EQ(learnt(place, "restarted"), expected);
  const auto device = summary_of(place, "restarted").at("devices").at(0);
  EXPECT_GT(device.at("restarts").get<int>(), 1);
  EXPECT_GE(device.at("retries").get<int>(), device.at("restarts").get<int>());

  const test::Outcome stopped =
      place.run(train_devices(place, {flaky(place, 8000)}, "stopped") + Arguments{"--set", "device.on_failure=stop"});
  EXPECT_EQ(stopped.code, 5) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("died"));
  EXPECT_FALSE(fs::exists(place.path("stopped") / "summary.json"));
  const test::Outcome inspected = test::succeed(place, {"inspect", "stopped"});
  EXPECT_THAT(inspected.out, HasSubstr("device0"));
  // Another address for the same device: the bench has moved.
  test::succeed(place, {"train", "--quiet", "--no-report", "--resume", "stopped", "--device", kServe});
  EXPECT_EQ(learnt(place, "stopped"), expected);
  EXPECT_EQ(summary_of(place, "stopped").at("final"), summary_of(place, "whole").at("final"));
  EXPECT_EQ(summary_of(place, "stopped").at("forward_evals").at("training"), summary_of(place, "whole").at("forward_evals").at("training"));
}

TEST(DeviceTraining, KilledAndInterruptedGoesOnToTheSameBitsAndLeavesTheDeviceSafe) {
  Workplace place;
  const std::string slow = kServe + " --set-ms 2";
  test::succeed(place, train_devices(place, {slow}, "whole"));
  for (const int signal : {SIGINT, SIGKILL}) {
    const std::string out = "run" + std::to_string(signal);
    const auto running = place.start(train_devices(place, {slow}, out));
    ASSERT_TRUE(test::eventually([&] { return fs::exists(place.path(out) / "checkpoint.npz"); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    running.signal(signal);
    const test::Outcome outcome = running.wait();
    if (outcome.code == 0) continue;  // it was faster
    EXPECT_EQ(outcome.code, signal == SIGINT ? 130 : 1000 + SIGKILL) << outcome.err;
    test::succeed(place, {"train", "--quiet", "--no-report", "--resume", out, "--device", slow});
    EXPECT_EQ(learnt(place, out), learnt(place, "whole"));
  }
}

// Two inputs, one target: what tests/unit/device/*.py measure.
NpzArchive two_inputs() {
  NpzArchive archive = test::sample_archive({.train = 64, .test = 16, .classes = 3, .shape = {2}});
  for (const char* name : {"y_train", "y_test"}) {
    std::vector<float> targets;
    for (const float v : archive[name].to<float>()) targets.push_back(0.5F * v - 0.3F);
    archive[name] = NpyArray::of<float>(targets, {isize(targets.size())});
  }
  return archive;
}

TEST(DeviceTraining, DeviceThatMisbehavesEndsInOneLineASafeDeviceAndARunThatGoesOn) {
  Workplace place;
  const NpzArchive archive = two_inputs();
  const std::string script = (test::project_folder() / "tests/unit/device/broken_device.py").string(), log = place.path("log").string();
  const auto command = [&](const std::string& fault, const std::string& out) {
    return test::train_on(place, archive) + test::kFewSteps +
           Arguments{"--out",    out,
                     "--set",    "device.retries=1",
                     "--set",    "device.steadiness=0",
                     "--device", "exec:env FFZERO_DEVICE_LOG=" + log + " python3 " + script + " " + fault};
  };
  test::succeed(place, command("", "proper"));
  for (const auto& [fault, words] : std::vector<std::pair<std::string, std::string>>{
           {"nan", "must be finite, read 4 times; got nan"}, {"wrong_count", "must bring"}, {"words", "must hold numbers"}}) {
    test::expect_refused(place, command(fault, fault), 5, {words});
    const auto lines = test::lines_of(test::read_file(log));
    EXPECT_EQ(lines.back(), "0 0") << fault;
    test::succeed(place, {"train", "--quiet", "--no-report", "--resume", fault, "--device",
                          "exec:env FFZERO_DEVICE_LOG=" + log + " python3 " + script});
    EXPECT_EQ(learnt(place, fault), learnt(place, "proper")) << fault;
  }
}

// A device whose readings never repeat, and a share of whose evaluations goes wrong.
std::string moody(const Workplace& place, double rate, int seed) {
  return "exec:python3 " + (test::project_folder() / "tests/unit/device/moody_device.py").string() + " " + place.path("log").string() +
         " " + std::to_string(seed) + " " + std::to_string(rate);
}

Arguments train_moody(const Workplace& place, const std::string& address, const std::string& out, const Arguments& more) {
  return test::train_on(place, two_inputs()) +
         Arguments{"--epochs", "3",        "--batch-size", "16",    "--directions",           "2", "--threads", "1", "--out",
                   out,        "--device", address,        "--set", "training.save_every_s=0"} +
         more;
}

TEST(DeviceTraining, TakesNoReadingTwiceAndRepeatsARunWithoutItsDevice) {
  Workplace place;
  const std::string address = moody(place, 0.0, 1);
  const Arguments resume{"train", "--quiet", "--no-report", "--resume", "run", "--device", address};
  const auto running = place.start(train_moody(place, address, "run", {"--set", "device.journal=all"}));
  const auto readings = [&] { return fs::exists(place.path("log")) ? test::lines_of(test::read_file(place.path("log"))).size() : 0; };
  ASSERT_TRUE(test::eventually([&] { return readings() > 25; }));
  running.signal(SIGKILL);
  static_cast<void>(running.wait());
  std::ofstream(place.path("run") / "journal.bin", std::ios::app) << "a record that was cut off";
  // The instrument is left safe, whoever was killed.
  ASSERT_TRUE(test::eventually([&] { return test::lines_of(test::read_file(place.path("log"))).back() == "0 0"; }));
  test::succeed(place, resume);
  test::succeed(place, {"train", "--quiet", "--no-report", "--replay", "run", "--out", "again"});
  EXPECT_EQ(learnt(place, "again"), learnt(place, "run"));
  const auto first = summary_of(place, "run"), again = summary_of(place, "again");
  for (const char* key : {"final", "layers", "forward_evals", "skipped"}) EXPECT_EQ(again.at(key), first.at(key)) << key;
  for (const char* key : {"readings", "writes", "values", "evaluations", "looks"})
    EXPECT_EQ(again.at("devices").at(0).at(key), first.at("devices").at(0).at(key)) << key;

  // Without a device, and without a journal.
  test::expect_refused(place, {"train", "--replay", "run", "--device", address, "--out", "b"}, 2, {"--replay: repeats a run as it was"});
  test::expect_refused(place, {"train", "--replay", "run", "--resume", "run"}, 2, {"--resume"});
  test::succeed(place, train_moody(place, address, "plain", {}));
  EXPECT_FALSE(fs::exists(place.path("plain") / "journal.bin")) << "a finished run needs none";
  test::expect_refused(place, {"train", "--quiet", "--replay", "plain", "--out", "b"}, 4, {"device.journal = \"all\""});
  test::succeed(place, test::train_on(place, test::sample_archive(test::kDeviceData)) + Arguments{"--epochs", "1", "--out", "digital"});
  test::expect_refused(place, {"train", "--quiet", "--replay", "digital", "--out", "b"}, 2, {"repeats a run with devices"});
  EXPECT_FALSE(fs::exists(place.path("b")));
}

TEST(DeviceTraining, UsesNoJournalOfAnotherRun) {
  Workplace place;
  const std::string address = moody(place, 0.0, 1);
  const auto run = place.start(train_moody(place, address, "run", {"--set", "training.epochs=1000"}));
  const auto journal = place.path("run") / "journal.bin";
  ASSERT_TRUE(test::eventually([&] { return fs::exists(journal) && fs::file_size(journal) > 2000; }));
  run.signal(SIGKILL);
  static_cast<void>(run.wait());
  fs::copy(place.path("run"), place.path("other"), fs::copy_options::recursive);
  std::string other = test::read_file(journal);
  other[25] = static_cast<char>(other[25] ^ 1);
  std::ofstream(place.path("other") / "journal.bin", std::ios::binary) << other;
  const Outcome refused = place.run({"train", "--quiet", "--no-report", "--resume", "other", "--device", address});
  EXPECT_EQ(refused.code, 4) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("journal.bin: must hold readings of this run; got those of another one; remove it"));
}

// Loses readings of batches of 8: "first" the first row of each, "start" whole batches in the first 40 evaluations, "all" all.
constexpr const char* kBlinking = R"py(import sys
mode, evals, p = sys.argv[1], 0, [0.0, 0.0]
for line in iter(sys.stdin.readline, ''):
    n, verb, *rest = line.split()
    if verb == 'hello':
        print(f'{n} proto 1\n{n} shape 2 1 2\n{n} param 0 2 min -2 max 2\n{n} cap rows 64')
    elif verb == 'set':
        p[int(rest[0]):int(rest[0]) + len(rest) - 1] = [float(v) for v in rest[1:]]
    elif verb == 'eval':
        rows = int(rest[0])
        evals += rows <= 8
        for i in range(rows):
            x = [float(v) for v in sys.stdin.readline().split()[2:]]
            lost = rows <= 8 and {'first': i == 0, 'start': evals <= 40, 'all': True}.get(mode, False)
            print(n, 'row', 'nan' if lost else '%.9g' % (p[0] * x[0] + p[1] * x[1]))
    print(n, 'ok')
    sys.stdout.flush()
    if verb == 'bye': break
)py";

TEST(DeviceTraining, SkipsWhatDoesNotComeBack) {
  Workplace place;
  const std::string script = "exec:python3 " + place.write("blinking.py", kBlinking).string() + " ";
  const auto train = [&](const std::string& mode, const std::string& out, const std::string& epochs = "1") {
    return train_moody(place, script + mode, out,
                       {"--set", "device.on_failure=skip", "--set", "device.steadiness=0", "--set", "training.batch_size=8", "--set",
                        "training.epochs=" + epochs, "--set", "device.journal=all", "--set", "dataset.scale=none"});
  };
  // One row of each reading: 8 steps, 2 directions, 2 sides.
  test::succeed(place, train("first", "first"));
  auto summary = summary_of(place, "first");
  EXPECT_EQ(summary.at("devices").at(0).at("dropped"), 8 * 4);
  EXPECT_EQ(summary.at("skipped"), (nlohmann::ordered_json{{"steps", 0}, {"directions", 0}}));
  EXPECT_TRUE(summary.at("final").at("test").is_number());
  // Each reading is read four times: the first two steps lose all, the third the first side of its first pair.
  test::succeed(place, train("start", "start"));
  summary = summary_of(place, "start");
  EXPECT_EQ(summary.at("devices").at(0).at("dropped"), (2 * 4 + 1) * 8);
  EXPECT_EQ(summary.at("skipped"), (nlohmann::ordered_json{{"steps", 2}, {"directions", 1}}));
  EXPECT_EQ(summary.at("forward_evals").at("training"), 64 * 4) << "failed readings are billed";
  test::succeed(place, {"report", "start"});
  EXPECT_THAT(test::read_file(place.path("start") / "report.html"),
              HasSubstr("2 steps had no reading and changed nothing; 1 directions of other steps were left out"));
  test::expect_refused(place, train("all", "all", "2"), 5, {"one of 11 steps must have a reading", "look at the detectors"});
  test::succeed(place, {"train", "--quiet", "--no-report", "--resume", "all", "--device", script + "none"});
  EXPECT_EQ(summary_of(place, "all").at("skipped").at("steps"), 11) << "that nothing came is kept too";
  // Steps that were skipped are none of the optimiser's, in the run that was resumed and in the repeated one.
  test::succeed(place, {"train", "--quiet", "--no-report", "--replay", "all", "--out", "again"});
  EXPECT_EQ(learnt(place, "again"), learnt(place, "all"));
}

TEST(DeviceTraining, FileOfSomebodyElseStartsNothing) {
  Workplace place;
  const std::string starts = place.path("starts").string(), address = flaky(place, 100000000);
  const std::string line = "an address that stands in a file is used only if you say so";
  test::succeed(place, train_devices(place, {address}, "run"));
  const std::string sample = place.path("x.npz").string();
  write_npz(sample, {{"x", test::samples_of(test::kDeviceData, 3, 5)}});
  const auto count = [&] { return test::lines_of(test::read_file(starts)).size(); };
  const std::size_t before = count();
  test::expect_refused(place, {"eval", "run"}, 2, {line, "--trust-devices"});
  test::expect_refused(place, {"predict", "run", sample}, 2, {line});
  test::expect_refused(place, {"probe", "run"}, 2, {line});
  test::expect_refused(place, {"train", "--quiet", (place.path("run") / "config.toml").string(), "--out", "again"}, 2, {line});
  EXPECT_FALSE(fs::exists(place.path("again")));
  test::succeed(place, {"inspect", "run"});
  EXPECT_EQ(count(), before);
  const test::Outcome evaluated = test::succeed(place, {"eval", "run", "--device", address});
  EXPECT_THAT(evaluated.out, HasSubstr("device0"));
  test::succeed(place, {"predict", "run", sample, "--trust-devices"});
  test::succeed(place, {"probe", "run", "--draws", "2", "--device", kServe});
  EXPECT_EQ(count(), before + 2);
  test::expect_refused(place, {"eval", "run", "--device", kServe, "--device", kServe}, 2,
                       {"once for each of the 1 devices", "got 2 times"});
}

TEST(DeviceTraining, DevicesStandBetweenDigitalLayers) {
  Workplace place;
  const fs::path file =
      place.write("experiment.toml",
                  "model.layers_before = [6]\nmodel.layers = [5]\nmodel.local_loss_at = \"pre\"\n"
                  "[[model.device]]\naddress = \"tcp:192.0.2.1:9\"\nrepeats = 2\noutput_scale = 2.0\nactivation = \"relu\"\n"
                  "[[model.device]]\naddress = \"tcp:192.0.2.1:10\"\n"
                  "[[layer]]\nindex = 3\ngradient.estimator = \"adjoint\"\nupdate.lr = 1e-3\n");
  const std::string second = std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 4 --outputs 5";
  Arguments arguments = train_devices(place, {kServe, second}, "run");
  arguments.insert(arguments.begin() + 1, file.string());
  test::succeed(place, arguments);
  const auto summary = summary_of(place, "run");
  std::vector<std::string> names;
  for (const auto& layer : summary.at("layers")) names.push_back(layer.at("name").get<std::string>());
  EXPECT_EQ(names, (std::vector<std::string>{"dense0", "device0", "device1", "dense1"}));
  EXPECT_EQ(summary.at("devices").size(), 2U);
  EXPECT_EQ(summary.at("devices").at(0).at("address"), kServe);
  EXPECT_THAT(test::read_file(place.path("run") / "config.toml"), HasSubstr("repeats = 2"));
  const auto result = test::json_of(test::succeed(place, {"eval", "run", "--json", "--device", kServe, "--device", second}).out);
  EXPECT_EQ(result.at("final"), summary.at("final").at("test"));
  // Every train sample is read twice for each side of two directions, in two epochs.
  EXPECT_GE(summary.at("devices").at(0).at("readings").get<int>(), 96 * 2 * 2 * 2 * 2);
}

TEST(DeviceTraining, StudyUsesOneDeviceForOneRunAtATime) {
  Workplace place;
  write_npz(place.path("data.npz"), test::sample_archive(test::kDeviceData));
  const std::string base = "seeds = [0, 1]\n[base]\ndataset.name = \"npz\"\ndataset.dir = \"" + place.path("data.npz").string() +
                           "\"\ntraining.epochs = 1\n[[base.model.device]]\naddress = \"" + "tcp:192.0.2.1:9" +
                           "\"\n[grid]\ngradient.directions = [1, 2]\n";
  const fs::path study = place.write("study.toml", base);
  test::succeed(place, {"sweep", study.string(), "--out", "study", "--quiet", "--jobs", "2", "--device", kServe});
  EXPECT_EQ(test::json_of(test::read_file(place.path("study") / "table.json")).at("settings").size(), 2U);
}

TEST(DeviceTraining, StopsBeforeTheDeviceHasWorkedTooLong) {
  Workplace place;
  test::succeed(place, train_devices(place, {kServe + " --set-ms 5"}, "run") + Arguments{"--set", "budget.device_seconds=0.15"});
  const auto summary = summary_of(place, "run");
  EXPECT_EQ(summary.at("stopped_by"), "budget");
  EXPECT_LT(summary.at("forward_evals").at("training").get<int>(), 96 * 2 * 4);
}

TEST(DeviceTraining, RefusesInOneLine) {
  Workplace place;
  const auto with = [&](const std::string& address, const Arguments& more = {}) { return train_devices(place, {address}, "run") + more; };
  const std::string wide = std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 49 --outputs 32";
  test::expect_refused(place, {"train", "--quiet", "--device", wide, "--out", "run"}, 3,
                       {"takes 49 inputs; got 784", "dataset.crop", "dataset.downsample = 7", "model.pca = [49]"});
  test::expect_refused(place, with(wide), 3, {"takes 49 inputs; got 6", "model.pca = [49]"});
  test::expect_refused(place, with(kServe, {"--set", "model.layers_before=[5]"}), 3, {"takes 6 inputs; got 5", "give 6 outputs"});
  test::expect_refused(place, with(std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 6 --outputs 2"), 3,
                       {"needs at least K = 3 outputs", "got 2"});
  test::expect_refused(place, with(kServe + " --limit 2 --step 0.1"), 3, {"gradient.eps", "two of its steps of 0.05", "use at least"});
  test::expect_refused(place, with("exec:no-such-program"), 5, {"no-such-program"});
  test::expect_refused(place, with("unix:" + place.path("nobody.sock").string()), 5, {"no connection"});
  test::expect_refused(place, with("usb:1"), 2, {"usb:1"});
  test::expect_refused(place, with("tcp:127.0.0.1:99999"), 2, {"the port is a number from 0 to 65535"});
  test::expect_refused(place, with("tcp:127.0.0.1:1"), 5, {"no connection; got Connection refused"});
  // What a device says of itself, and does not keep.
  const std::string answers = place
                                  .write("answers.py",
                                         "import sys, time\n"
                                         "for line in iter(sys.stdin.readline, ''):\n"
                                         "    words = line.split()\n"
                                         "    if words[1] == 'hello':\n"
                                         "        for text in ('proto 1', 'shape 6 4 2', sys.argv[1], 'time answer_ms 100 safe_ms 50'):\n"
                                         "            print(words[0], text)\n"
                                         "    if words[1] == 'eval':\n"
                                         "        time.sleep(3)\n"
                                         "    if words[1] != 'row':\n"
                                         "        print(words[0], 'ok', flush=True)\n")
                                  .string();
  const auto says = [&](const std::string& text) { return "exec:python3 " + answers + " '" + text + "'"; };
  test::expect_refused(place, with(says("param 0 2 min 2 max 2")), 5, {"min must be below max; got min 2, max 2"});
  test::expect_refused(place, with(says("param 0 2 min 0 max 1 step 0")), 5, {"step must be above 0; got 0"});
  const Outcome late = place.run(with(says("param 0 2 min 0 max 1"), {"--set", "device.retries=1"}));
  EXPECT_EQ(late.code, 5) << late.err;
  EXPECT_THAT(late.err, HasSubstr("stalled: request"));
  EXPECT_THAT(late.err, HasSubstr("must be answered within 100 ms"));
  EXPECT_EQ(test::lines_of(late.err).size(), 1U) << late.err;
  fs::remove_all(place.path("run"));
  test::expect_refused(place, with(""), 2, {"--device: must"});
  test::expect_refused(place, with(kServe, {"--control"}), 3, {"baseline.untrained"});
  test::expect_refused(place,
                       test::train_on(place, test::sample_archive(test::kDeviceData)) + Arguments{"--solver", "ff_ad", "--device", kServe},
                       3, {"a device answers with its outputs"});
  test::expect_refused(place, with(kServe, {"--model", "mlp"}), 3, {"model.kind = \"device\""});
  test::expect_refused(place, {"train", "--quiet", "--model", "device", "--out", "run"}, 3, {"needs at least one", "--device ADDRESS"});
  const fs::path file = place.write("a.toml", "[[model.device]]\nadress = \"unix:a\"\n");
  test::expect_refused(place, {"train", "--quiet", file.string(), "--out", "run"}, 3, {"unknown key", "did you mean \"address\"?"});
  EXPECT_FALSE(fs::exists(place.path("run")));
}

TEST(DeviceTraining, LetsOneHostUseADevice) {
  Workplace place;
  const test::Served served = served_dense("unix:" + place.path("a.sock").string(), 0.0);
  const auto first = place.start(train_devices(place, {served.address()}, "first") + Arguments{"--set", "training.epochs=2000"});
  ASSERT_TRUE(test::eventually([&] { return fs::exists(place.path("first") / "checkpoint.npz"); }));
  test::expect_refused(place, train_devices(place, {served.address()}, "second"), 5, {"it is in use; got process"});
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().code, 130);
}

TEST(CliDevice, ServesMapsThatAreNotTheirModel) {
  Workplace place;
  const std::string imperfect = "dac_bits = 12, gain = 0.1, saturation = 0.1";
  const Outcome checked = place.run({"device", "check", kServe + " --imperfect \"" + imperfect + "\""});
  EXPECT_EQ(checked.code, 0) << checked.out << checked.err;
  const std::string address = kServe + " --imperfect \"" + imperfect + ", read_noise = 0.05, fail = 0.1\"";
  for (const char* run : {"first", "second"}) {
    const Outcome trained = place.run(train_devices(place, {address}, run) + Arguments{"--set", "device.retries=20"});
    EXPECT_EQ(trained.code, 0) << trained.err;
  }
  // Noise has the address of its reading; a reading that failed is repeated.
  EXPECT_EQ(learnt(place, "first"), learnt(place, "second"));
  EXPECT_GT(summary_of(place, "first").at("devices").at(0).at("retries").get<int>(), 0);
  // However many rows the device takes at a time.
  const Outcome few = place.run(train_devices(place, {address + " --rows 7"}, "few") + Arguments{"--set", "device.retries=20"});
  EXPECT_EQ(few.code, 0) << few.err;
  EXPECT_EQ(learnt(place, "few"), learnt(place, "first"));
  const Outcome refused = place.run({"device", "serve", "--imperfect", "read_nose = 1"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, HasSubstr("read_noise"));
}

TEST(CliDevice, ChecksServedMapsWithReadNoise) {
  Workplace place;
  const std::string serve = std::string("exec:'") + FFZERO_PROGRAM + "' device serve ";
  for (const std::string map : {"--inputs 6 --outputs 4", "--inputs 6 --outputs 4 --limit 3 --noise 0.1", "--model conv --size 5",
                                "--model mesh --ports 4", "--model mesh --powers --ports 4"}) {
    const Outcome checked =
        place.run({"device", "check", serve + map + " --imperfect \"read_noise = 0.05, write_noise = 0.01\"", "--calls", "40"});
    EXPECT_EQ(checked.code, 0) << map << "\n" << checked.out << checked.err;
    EXPECT_THAT(checked.out, HasSubstr("ok            a reading with an address repeats, another is another\n")) << map;
  }
}

}  // namespace
}  // namespace ffzero
