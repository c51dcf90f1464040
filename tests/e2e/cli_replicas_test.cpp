// Several devices that hold one parameter vector, from the command line.
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "device_runs.hpp"
#include "refusal.hpp"

namespace ffzero {
namespace {

using test::Arguments;
using test::Outcome;
using test::operator+;  // NOLINT(misc-unused-using-decls): clang-tidy overlooks operators
using test::Workplace;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

const Arguments kResume{"train", "--quiet", "--no-report", "--resume"};

// The same device under as many addresses as are asked for.
std::vector<std::string> served(std::size_t count, const std::string& more = "") {
  std::vector<std::string> addresses;
  for (std::size_t i = 0; i < count; ++i)
    addresses.push_back(std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 6 --outputs 4 --rows " + std::to_string(100 + i) +
                        more);
  return addresses;
}

Arguments devices(const std::vector<std::string>& addresses) {
  Arguments arguments;
  for (const std::string& address : addresses) arguments = arguments + Arguments{"--device", address};
  return arguments;
}

Arguments train(const Workplace& place, const std::string& out, const Arguments& more) {
  return test::train_on(place, test::sample_archive(test::kDeviceData)) + test::kFewSteps + Arguments{"--out", out} + more;
}

TEST(Replicas, LearnAsOneDeviceDoesAndHaveAnAccountEach) {
  Workplace place;
  for (const std::string noise : {"", " --noise 0.01"}) {
    test::succeed(place, train(place, "one" + noise, devices(served(1, noise))));
    test::succeed(place, train(place, "five" + noise, devices(served(5, noise)) + Arguments{"--replicas", "5"}));
    EXPECT_EQ(learnt(place, "five" + noise), learnt(place, "one" + noise));
  }
  const Json one = summary_of(place, "one"), five = summary_of(place, "five");
  EXPECT_EQ(five.at("final"), one.at("final"));
  EXPECT_EQ(five.at("forward_evals").at("training"), one.at("forward_evals").at("training"));
  ASSERT_EQ(five.at("devices").size(), 5U);
  std::int64_t readings = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    const Json& device = five.at("devices").at(i);
    EXPECT_EQ(device.at("number"), i);
    EXPECT_EQ(device.at("name"), "device0");
    EXPECT_EQ(device.at("without_since"), nullptr);
    EXPECT_EQ(device.at("failures"), 0);
    EXPECT_THAT(device.at("address").get<std::string>(), HasSubstr("--rows 10" + std::to_string(i)));
    EXPECT_EQ(device.at("looks").size(), one.at("devices").at(0).at("looks").size());
    readings += device.at("readings").get<std::int64_t>();
  }
  EXPECT_FALSE(one.at("devices").at(0).contains("number"));
  // Four more devices are looked at, three times.
  const std::int64_t looks = 4 * 3 * 8;
  EXPECT_EQ(readings - looks, one.at("devices").at(0).at("readings").get<std::int64_t>());
  const Json noisy = summary_of(place, "five --noise 0.01");
  for (const Json& device : noisy.at("devices")) EXPECT_NEAR(device.at("noise").at("measured").get<double>(), 0.01, 0.005);
}

TEST(Replicas, StandInAFileAndWhatIsTrainedRunsOnAnotherDevice) {
  Workplace place;
  const auto addresses = served(3), others = served(4);
  std::string file =
      "[[model.device]]\naddress = " + Json(addresses[0]).dump() + "\nreplicas = " + Json({addresses[1], addresses[2]}).dump() + "\n";
  place.write("rack.toml", file);
  test::succeed(place, train(place, "rack", {"rack.toml", "--trust-devices"}));
  test::succeed(place, train(place, "named", devices(addresses) + Arguments{"--replicas", "3"}));
  EXPECT_EQ(learnt(place, "rack"), learnt(place, "named"));
  EXPECT_EQ(test::read_file(place.path("rack") / "config.toml"), test::read_file(place.path("named") / "config.toml"));
  // On a fourth, on all of them, without one of them.
  for (const Arguments& on : {devices({others[3]}), devices(addresses), devices(addresses) + Arguments{"--without-device", "1"}})
    EXPECT_THAT(test::succeed(place, Arguments{"eval", "rack"} + on).out, HasSubstr("device0"));
  EXPECT_THAT(test::succeed(place, {"inspect", "rack"}).out, HasSubstr("device0"));
  // Two layers of two.
  const auto four =
      devices(served(2)) + devices({std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 4 --outputs 4 --rows 7",
                                    std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 4 --outputs 4 --rows 8"});
  test::succeed(place, train(place, "deep", four + Arguments{"--replicas", "2", "--without-device", "3"}));
  const Json deep = summary_of(place, "deep").at("devices");
  ASSERT_EQ(deep.size(), 4U);
  EXPECT_EQ(deep.at(3).at("name"), "device1");
  EXPECT_EQ(deep.at(3).at("number"), 3);
  EXPECT_EQ(deep.at(3).at("without_since"), 0);
  EXPECT_EQ(deep.at(3).at("readings"), 0);
  EXPECT_GT(deep.at(2).at("readings").get<int>(), 0);
  EXPECT_THAT(test::read_file(place.path("deep") / "log.txt"), HasSubstr("without device 3 (exec:"));
}

TEST(Replicas, RefusesInOneLine) {
  Workplace place;
  const auto three = devices(served(3)), grouped = three + Arguments{"--replicas", "3"};
  place.write("rack.toml", "[[model.device]]\naddress = \"exec:a\"\nreplicas = [\"exec:b\", \"exec:c\"]\n");
  const auto refused = [&](const Arguments& more, int code, const std::vector<std::string>& parts) {
    test::expect_no_run(place, test::train_on(place, test::sample_archive(test::kDeviceData)) + test::kFewSteps + more, code, parts);
  };
  refused(three + Arguments{"--replicas", "2"}, 2, {"--replicas: must divide the number of --device; got 2 of 3"});
  refused(three + Arguments{"--replicas", "0"}, 2, {"--replicas"});
  refused({"--replicas", "3"}, 2, {"--replicas", "no --device"});
  refused(three + Arguments{"rack.toml", "--replicas", "3"}, 2, {"--replicas", "a file that says so"});
  refused(devices(served(2)) + Arguments{"rack.toml"}, 2, {"once for each of the 3 devices", "got 2 times", "--without-device"});
  refused(devices(served(1)) + Arguments{"rack.toml"}, 2, {"once for each of the 3 devices"});
  refused({"rack.toml"}, 2, {"used only if you say so"});
  refused(grouped + Arguments{"--without-device", "3"}, 2, {"--without-device: must be the number of a device, 0 .. 2; got 3"});
  refused(grouped + Arguments{"--without-device", "-1"}, 2, {"--without-device", "-1"});
  refused(grouped + Arguments{"--without-device", "0", "--without-device", "1", "--without-device", "2"}, 2,
          {"--without-device: must leave a device to the layer"});
  refused(devices(served(1)) + Arguments{"--without-device", "0"}, 2, {"its layer has no other"});
  refused({"--without-device", "0"}, 2, {"--without-device", "no devices"});
  for (const std::string estimator : {"twin", "transfer"})
    test::expect_no_run(
        place,
        test::train_on(place, test::sample_archive(test::kDeviceData)) + grouped + Arguments{"--set", "gradient.estimator=" + estimator}, 3,
        {"gradient.estimator: the devices of a layer are several"});
  const std::string serve = std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 6 ";
  refused(devices({serve + "--outputs 4", serve + "--outputs 5"}) + Arguments{"--replicas", "2"}, 3,
          {"device 1: must have the inputs, outputs and parameters of device 0, [6,4,28]", "got [6,5,35]"});
  refused(devices({serve + "--outputs 4 --limit 2", serve + "--outputs 4 --limit 3"}) + Arguments{"--replicas", "2"}, 3,
          {"device 1: must have the ranges of device 0", "-2 .. 2; got -3 .. 3"});
  refused(devices({serve + "--outputs 4", "exec:false"}) + Arguments{"--replicas", "2"}, 5,
          {"device 1: device exec:false", "--without-device 1"});
  place.write("bad.toml", "[[model.device]]\naddress = \"exec:a\"\nreplicas = \"exec:b\"\n");
  refused({"bad.toml"}, 3, {"replicas", "must be a list of texts"});
  place.write("bad.toml", "[[model.device]]\naddress = \"exec:a\"\nreplicas = [\"\"]\n");
  refused({"bad.toml"}, 3, {"replicas", "must be addresses"});
}

// y = (p0 x0 + p1 x1, gain (p2 x0 + p3 x1)). Ends after so many evaluations, does not start while NAME.dead is there, tells NAME.log when
// it is safe.
constexpr const char* kMortal = R"py(import os, sys
name, gain, limit = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
lost = len(sys.argv) > 4
p, evals = [0.0] * 4, 0
def log(text):
    with open(name + '.log', 'a') as out: out.write(text + '\n')
if os.path.exists(name + '.dead'):
    with open(name + '.burnt', 'a') as out: out.write('burnt\n')
    sys.exit('burnt')
with open(name + '.pid', 'w') as out: out.write(str(os.getpid()))
for line in iter(sys.stdin.readline, ''):
    n, verb, *rest = line.split()
    if verb == 'hello':
        print(f'{n} proto 1\n{n} shape 2 2 4\n{n} param 0 4 min -2 max 2\n{n} cap rows 64')
    elif verb == 'set':
        p[int(rest[0]):int(rest[0]) + len(rest) - 1] = [float(v) for v in rest[1:]]
    elif verb == 'eval':
        evals += 1
        if evals > limit:
            open(name + '.dead', 'w').close()
            sys.exit('out of light')
        rows = [[float(v) for v in sys.stdin.readline().split()[2:]] for _ in range(int(rest[0]))]
        if evals == 1: log('ready')
        for i, x in enumerate(rows):
            y = p[0] * x[0] + p[1] * x[1], gain * (p[2] * x[0] + p[3] * x[1])
            print(n, 'row', 'nan 0' if lost and len(rows) <= 4 and i == 0 else '%.9g %.9g' % y)
    if verb in ('safe', 'bye'): log('safe')
    print(n, 'ok')
    sys.stdout.flush()
    if verb == 'bye': break
)py";

std::string mortal(const Workplace& place, const std::string& name, double gain, int limit = 1 << 30, const std::string& more = "") {
  return "exec:python3 " + place.write("mortal.py", kMortal).string() + " " + place.path(name).string() + " " + std::to_string(gain) + " " +
         std::to_string(limit) + more;
}

std::vector<std::string> three_mortals(const Workplace& place, int limit, const std::string& more = "") {
  return {mortal(place, "a", 0.8), mortal(place, "b", 1.0, limit, more), mortal(place, "c", 1.2)};
}

Arguments train_mortals(const Workplace& place, const std::string& out, const std::vector<std::string>& addresses,
                        const Arguments& more = {}) {
  const NpzArchive archive = test::sample_archive({.train = 64, .test = 16, .classes = 2, .shape = {2}});
  return test::train_on(place, archive) + devices(addresses) +
         Arguments{"--replicas", "3",     "--epochs", "3",     "--batch-size",        "8",     "--directions",      "2", "--threads",
                   "1",          "--out", out,        "--set", "device.steadiness=0", "--set", "dataset.scale=none"} +
         more;
}

std::string last_line(const Workplace& place, const std::string& name) { return test::lines_of(test::read_file(place.path(name))).back(); }

TEST(Replicas, OneThatDiesIsNamedTheOthersAreSafeAndTheRunGoesOnWithoutIt) {
  Workplace place;
  const Outcome died = place.run(train_mortals(place, "run", three_mortals(place, 70), {"--set", "device.on_failure=stop"}));
  EXPECT_EQ(died.code, 5) << died.err;
  EXPECT_THAT(died.err, HasSubstr("device 1: device exec:python3"));
  EXPECT_THAT(died.err, HasSubstr("died"));
  EXPECT_THAT(died.err, HasSubstr("the others are in their safe state; to go on without: --without-device 1"));
  for (const char* log : {"a.log", "c.log"}) EXPECT_EQ(last_line(place, log), "safe");
  EXPECT_FALSE(test::fs::exists(place.path("run") / "summary.json"));
  test::fs::copy(place.path("run"), place.path("twice"), test::fs::copy_options::recursive);

  const auto addresses = three_mortals(place, 1 << 30);
  test::expect_refused(place, kResume + Arguments{"run"} + devices(addresses), 5, {"device 1: ", "burnt", "--without-device 1"});
  test::expect_refused(place, kResume + Arguments{"run"} + devices({addresses[0], addresses[2]}), 2, {"once for each of the 3 devices"});
  test::expect_refused(place, kResume + Arguments{"run", "--without-device", "4"} + devices(addresses), 2, {"0 .. 2; got 4"});
  test::expect_refused(place, kResume + Arguments{"run", "--replicas", "3"} + devices(addresses), 2, {"belongs to a new run"});
  test::succeed(place, kResume + Arguments{"run", "--without-device", "1"} + devices(addresses));
  const Json summary = summary_of(place, "run"), lost = summary.at("devices").at(1);
  const std::int64_t since = lost.at("without_since");
  EXPECT_GT(since, 0);
  EXPECT_LT(since, summary.at("forward_evals").at("training").get<std::int64_t>());
  EXPECT_EQ(summary.at("forward_evals").at("training"), 3 * 64 * 4);
  EXPECT_GT(lost.at("readings").get<int>(), 0);
  EXPECT_EQ(lost.at("failures"), 1);
  EXPECT_LT(lost.at("readings").get<int>(), summary.at("devices").at(0).at("readings").get<int>());
  EXPECT_EQ(summary.at("devices").at(0).at("without_since"), nullptr);
  EXPECT_THAT(test::read_file(place.path("run") / "log.txt"), HasSubstr("without device 1 (exec:"));
  test::succeed(place, {"report", "run"});
  EXPECT_THAT(test::read_file(place.path("run") / "report.html"), HasSubstr("number 1, left out after " + std::to_string(since)));

  // Killed on the way with two, it has the same bits; what the journal has of three does not stand in the way.
  const auto going = place.start(kResume + Arguments{"twice", "--set", "none"});
  EXPECT_EQ(going.wait().code, 2) << "settings belong to the run";
  const auto resumed = place.start(kResume + Arguments{"twice", "--without-device", "1", "--trust-devices"});
  ASSERT_TRUE(test::eventually([&] { return last_line(place, "a.log") == "ready"; }));
  resumed.signal(SIGINT);
  const Outcome interrupted = resumed.wait();
  // Or it was faster.
  EXPECT_TRUE(interrupted.code == 0 ||
              interrupted.err.find("ffzero train --resume twice --without-device 1 --trust-devices") != std::string::npos)
      << interrupted.err;
  test::succeed(place, kResume + Arguments{"twice", "--without-device", "1"} + devices(addresses));
  EXPECT_EQ(learnt(place, "twice"), learnt(place, "run"));
  EXPECT_EQ(summary_of(place, "twice").at("devices").at(1).at("without_since"), since);

  // With it, the run would be another one.
  test::fs::remove(place.path("b.dead"));
  test::succeed(place, train_mortals(place, "whole", addresses));
  EXPECT_NE(learnt(place, "whole"), learnt(place, "run"));
}

TEST(Replicas, OneThatIsKilledMeanwhileIsNamed) {
  Workplace place;
  const auto addresses = three_mortals(place, 1 << 30);
  const auto running =
      place.start(train_mortals(place, "run", addresses, {"--set", "training.epochs=100000", "--set", "device.retries=1"}));
  ASSERT_TRUE(test::eventually([&] { return test::fs::exists(place.path("b.log")) && test::fs::exists(place.path("c.log")); }));
  place.write("b.dead", "");
  ::kill(std::stoi(test::read_file(place.path("b.pid"))), SIGKILL);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("device 1: device exec:"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("device 0: ")));
  for (const char* log : {"a.log", "c.log"}) EXPECT_EQ(last_line(place, log), "safe");
}

TEST(Replicas, SkipWhatOneOfThemLoses) {
  Workplace place;
  // 8 rows on three devices: of its 3 rows device 1 loses one, in each of 8 steps with 4 readings. Evaluations have more rows.
  const Arguments skip{"--set", "training.epochs=1", "--set", "device.on_failure=skip", "--set", "device.journal=all"};
  test::succeed(place, train_mortals(place, "run", three_mortals(place, 1 << 30, " lost"), skip));
  const Json devices_of_run = summary_of(place, "run").at("devices");
  EXPECT_EQ(devices_of_run.at(0).at("dropped"), 0);
  EXPECT_EQ(devices_of_run.at(1).at("dropped"), 8 * 4);
  EXPECT_EQ(devices_of_run.at(2).at("dropped"), 0);
  EXPECT_EQ(summary_of(place, "run").at("skipped"), (Json{{"steps", 0}, {"directions", 0}}));
  test::succeed(place, {"train", "--quiet", "--no-report", "--replay", "run", "--out", "again"});
  EXPECT_EQ(learnt(place, "again"), learnt(place, "run"));
  for (std::size_t i = 0; i < 3; ++i)
    for (const char* key : {"readings", "writes", "dropped", "number"})
      EXPECT_EQ(summary_of(place, "again").at("devices").at(i).at(key), devices_of_run.at(i).at(key)) << i << key;
  // A device that is gone: training skips its rows, asks it in three steps and not in the last three, and the first evaluation, which can
  // do without none, asks it again and names it.
  const Arguments hasty{"--set", "device.retries=1"};
  const Outcome gone = place.run(train_mortals(place, "gone", three_mortals(place, 8), skip + hasty));
  EXPECT_EQ(gone.code, 5) << gone.err;
  EXPECT_THAT(gone.err, HasSubstr("device 1: device exec:"));
  EXPECT_THAT(gone.err, HasSubstr("--without-device 1"));
  EXPECT_THAT(test::read_file(place.path("gone") / "log.txt"), HasSubstr("has failed 3 times in a row; it is not asked until the next"));
  // Two attempts after it has died, one in each of the other two steps, one in the evaluation.
  EXPECT_EQ(test::lines_of(test::read_file(place.path("b.burnt"))).size(), 2U + 2U + 1U);
  test::succeed(place, kResume + Arguments{"gone", "--trust-devices", "--without-device", "1"});
  const Json summary = summary_of(place, "gone"), lost = summary.at("devices").at(1);
  EXPECT_EQ(lost.at("dropped"), (8 * 4 - 8) * 3) << "its rows of all steps after it was gone";
  EXPECT_EQ(lost.at("unasked"), 3 * 4 * 3);
  EXPECT_EQ(summary.at("devices").at(0).at("unasked"), 0);
  EXPECT_EQ(summary.at("forward_evals").at("training"), 64 * 4 - 3 * 4 * 3) << "what it was not asked for is not billed";
  test::succeed(place, {"report", "gone"});
  EXPECT_THAT(test::read_file(place.path("gone") / "report.html"), HasSubstr("not asked for 36 of the dropped rows"));
}

TEST(Replicas, RepeatsOnlyARunWhoseDevicesStayedTheSame) {
  Workplace place;
  const Arguments keep{"--set", "device.journal=all"};
  const auto addresses = three_mortals(place, 1 << 30);
  test::succeed(place, train_mortals(place, "without", addresses, keep + Arguments{"--without-device", "2"}));
  test::succeed(place, {"train", "--quiet", "--no-report", "--replay", "without", "--out", "again"});
  EXPECT_EQ(learnt(place, "again"), learnt(place, "without"));
  EXPECT_EQ(summary_of(place, "again").at("devices").at(2).at("without_since"), 0);
  EXPECT_EQ(place.run(train_mortals(place, "run", three_mortals(place, 70), keep + Arguments{"--set", "device.on_failure=stop"})).code, 5);
  test::succeed(place, kResume + Arguments{"run", "--without-device", "1"} + devices(addresses));
  test::expect_refused(place, {"train", "--quiet", "--replay", "run", "--out", "b"}, 2,
                       {"--replay: repeats a run with the same devices", "device 1"});
}

/// A dense chip with errors of its own, served over TCP by a process of its own.
class ServedChip {
 public:
  ServedChip(Workplace& place, int number, const Arguments& more = {})
      : server_(place.start(kServe + Arguments{"--listen", "tcp:127.0.0.1:0", "--imperfect", errors(number)} + more)) {
    const std::string before = "listening on ";
    EXPECT_TRUE(test::eventually([&] { return server_.said().ends_with("\n"); })) << server_.said();
    const std::string line = test::lines_of(server_.said()).at(0);
    EXPECT_TRUE(line.starts_with(before)) << line;
    address_ = line.substr(before.size());
  }
  ~ServedChip() { kill(); }
  ServedChip(const ServedChip&) = delete;
  ServedChip& operator=(const ServedChip&) = delete;
  void kill() {
    if (std::exchange(running_, false)) {
      server_.signal(SIGKILL);
      static_cast<void>(server_.wait());
    }
  }
  [[nodiscard]] const std::string& address() const { return address_; }

  /// The same chip as a program that the host starts.
  [[nodiscard]] static std::string started(int number) {
    std::string address = std::string("exec:'") + FFZERO_PROGRAM + "'";
    for (const std::string& word : kServe) address += " " + word;
    return address + " --imperfect '" + errors(number) + "'";
  }

 private:
  static inline const Arguments kServe{"device", "serve", "--inputs", "8", "--outputs", "4"};
  static std::string errors(int number) { return "gain = 0.1, offset = 0.1, read_noise = 0.01, seed = " + std::to_string(1 + number); }
  Workplace::Running server_;
  bool running_ = true;
  std::string address_;
};

/// Six of them.
struct ServedRack {
  explicit ServedRack(Workplace& place, const Arguments& more = {}) {
    for (int i = 0; i < 6; ++i) chips.push_back(std::make_unique<ServedChip>(place, i, more));
  }
  [[nodiscard]] std::vector<std::string> addresses() const {
    std::vector<std::string> all;
    for (const auto& chip : chips) all.push_back(chip->address());
    return all;
  }
  std::vector<std::unique_ptr<ServedChip>> chips;
};

Arguments train_rack(const Workplace& place, const std::string& out, const std::vector<std::string>& addresses, const Arguments& more) {
  const auto data = test::sample_archive({.train = 96, .test = 48, .classes = 3, .shape = {8}});
  return test::train_on(place, data) + devices(addresses) +
         Arguments{"--replicas", "6", "--batch-size", "24", "--directions", "4", "--threads", "1", "--out", out} + more;
}

std::size_t epochs_done(const Workplace& place, const std::string& run) {
  const auto file = place.path(run) / "metrics.jsonl";
  return test::fs::exists(file) ? test::lines_of(test::read_file(file)).size() : 0;
}

TEST(Replicas, ServedOverTcpGiveTheBitsOfProgramsThatTheHostStarts) {
  Workplace place;
  const ServedRack rack(place);
  std::vector<std::string> started;
  for (int i = 0; i < 6; ++i) started.push_back(ServedChip::started(i));
  const Arguments epochs{"--epochs", "3"};
  test::succeed(place, train_rack(place, "tcp", rack.addresses(), epochs));
  test::succeed(place, train_rack(place, "exec", started, epochs));
  EXPECT_EQ(learnt(place, "tcp"), learnt(place, "exec"));
  for (std::size_t i = 0; i < 6; ++i) {
    const Json chip = summary_of(place, "tcp").at("devices").at(i);
    EXPECT_EQ(chip.at("address"), rack.addresses()[i]);
    EXPECT_EQ(chip.at("readings"), summary_of(place, "exec").at("devices").at(i).at("readings")) << i;
  }
  // The chips differ.
  test::succeed(place, train_rack(place, "turned", {started.rbegin(), started.rend()}, epochs));
  EXPECT_NE(learnt(place, "turned"), learnt(place, "exec"));
}

TEST(Replicas, OneOfSixServedChipsIsKilledHalfWayAndFiveGoOn) {
  Workplace place;
  const ServedRack rack(place, {"--set-ms", "0.2"});
  constexpr std::size_t kEpochs = 30;
  const auto running =
      place.start(train_rack(place, "run", rack.addresses(),
                             {"--epochs", std::to_string(kEpochs), "--set", "device.retries=1", "--set", "training.save_every_s=0"}));
  ASSERT_TRUE(test::eventually([&] { return epochs_done(place, "run") >= kEpochs / 2; }));
  rack.chips[3]->kill();
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("device 3: device " + rack.addresses()[3]));
  EXPECT_THAT(outcome.err, HasSubstr("the others are in their safe state; to go on without: --without-device 3"));
  EXPECT_LT(epochs_done(place, "run"), kEpochs);
  test::expect_refused(place, kResume + Arguments{"run", "--trust-devices"}, 5, {"device 3: device tcp:", "--without-device 3"});

  test::succeed(place, kResume + Arguments{"run", "--trust-devices", "--without-device", "3"});
  const Json summary = summary_of(place, "run");
  const std::int64_t whole = kEpochs * 96 * 4 * 2;
  EXPECT_EQ(summary.at("forward_evals").at("training"), whole);
  for (std::size_t i = 0; i < 6; ++i) {
    const Json chip = summary.at("devices").at(i);
    EXPECT_EQ(chip.at("number"), i);
    EXPECT_EQ(chip.at("without_since").is_null(), i != 3);
  }
  const Json lost = summary.at("devices").at(3);
  EXPECT_GE(lost.at("without_since").get<std::int64_t>(), whole / 2 - 96 * 4 * 2);
  EXPECT_LT(lost.at("without_since").get<std::int64_t>(), whole);
  EXPECT_LT(lost.at("readings").get<int>(), summary.at("devices").at(2).at("readings").get<int>());
  // On a chip that no training has seen it does what it was trained for.
  const Outcome unseen = test::succeed(place, {"eval", "run", "--json", "--device", ServedChip::started(6)});
  EXPECT_GT(test::json_of(unseen.out).at("layers").at(0).at("value").get<double>(), 0.45) << unseen.out;
}

std::string a_group(int inputs, int outputs, const std::string& more = "") {
  return std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs " + std::to_string(inputs) + " --outputs " +
         std::to_string(outputs) + more;
}

TEST(DeviceGroups, LearnSideBySideEachWithAnAccountOfItsOwn) {
  Workplace place;
  std::vector<std::string> addresses;
  for (int i = 0; i < 3; ++i) addresses.push_back(a_group(6, 4, " --noise 0.001 --limit 3 --seed " + std::to_string(i)));
  const Arguments more{"--set", "training.epochs=30"};
  test::succeed(place, train(place, "three", devices(addresses) + Arguments{"--groups", "3"} + more));
  test::succeed(place, train(place, "one", devices({addresses[0]}) + more));
  const Json three = summary_of(place, "three"), one = summary_of(place, "one");
  EXPECT_EQ(three.at("information"), "grouped");
  EXPECT_EQ(three.at("forward_evals").at("training"), one.at("forward_evals").at("training")) << "all groups move in one evaluation";
  EXPECT_GT(three.at("final").at("test").get<double>(), 0.6);
  ASSERT_EQ(three.at("devices").size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const Json& device = three.at("devices").at(i);
    EXPECT_EQ(device.at("number"), i);
    EXPECT_EQ(device.at("readings"), one.at("devices").at(0).at("readings")) << "each reads every sample";
    EXPECT_NEAR(device.at("noise").at("measured").get<double>(), 0.001, 0.0005) << "looked at with its own parameters";
  }
  // As they stand in a file, which the run's own settings are; evaluated, inspected, predicted with.
  EXPECT_THAT(test::read_file(place.path("three") / "config.toml"), HasSubstr("groups = ["));
  const Outcome again = test::succeed(place, {"eval", "three", "--json", "--trust-devices"});
  EXPECT_EQ(test::json_of(again.out).at("layers").at(0).at("value"), three.at("final").at("test"));
  EXPECT_THAT(test::succeed(place, {"inspect", "three"}).out, HasSubstr("device0"));
  EXPECT_THAT(test::succeed(place, Arguments{"probe", "three"} + devices(addresses)).out, HasSubstr("device0"));
  test::expect_refused(place, Arguments{"eval", "three"} + devices({addresses[0]}), 2, {"once for each of the 3 devices"});
  // Readings are kept apart: a run is repeated from its journal.
  test::succeed(place, train(place, "kept", devices(addresses) + Arguments{"--groups", "3", "--set", "device.journal=all"}));
  test::succeed(place, {"train", "--quiet", "--no-report", "--replay", "kept", "--out", "repeated"});
  EXPECT_EQ(learnt(place, "repeated"), learnt(place, "kept"));
}

TEST(DeviceGroups, OneThatDiesIsNamedTheOthersAreSafeAndTheRunGoesOnWithItMended) {
  Workplace place;
  const auto train_groups = [&](const std::string& out, int limit) {
    const NpzArchive archive = test::sample_archive({.train = 64, .test = 16, .classes = 2, .shape = {2}});
    return test::train_on(place, archive) + devices(three_mortals(place, limit)) +
           Arguments{"--groups", "3",     "--epochs", "3",     "--batch-size",        "8",     "--directions",      "2", "--threads",
                     "1",        "--out", out,        "--set", "device.steadiness=0", "--set", "dataset.scale=none"};
  };
  const Outcome died = place.run(train_groups("run", 40) + Arguments{"--set", "device.on_failure=stop"});
  EXPECT_EQ(died.code, 5) << died.err;
  EXPECT_THAT(died.err, HasSubstr("device 1: device exec:python3"));
  EXPECT_THAT(died.err, HasSubstr("the others are in their safe state; a group has no substitute: mend it and resume"));
  for (const char* log : {"a.log", "c.log"}) EXPECT_EQ(last_line(place, log), "safe");
  const auto addresses = three_mortals(place, 1 << 30);
  test::expect_refused(place, kResume + Arguments{"run"} + devices(addresses), 5, {"device 1: ", "burnt", "mend it"});
  test::expect_refused(place, kResume + Arguments{"run", "--without-device", "1"} + devices(addresses), 2,
                       {"--without-device: leaves out one of several that can stand in for it; got a group of its layer's outputs"});
  test::fs::remove(place.path("b.dead"));
  test::succeed(place, kResume + Arguments{"run"} + devices(addresses));
  test::succeed(place, train_groups("whole", 1 << 30) + Arguments{"--set", "device.on_failure=stop"});
  EXPECT_EQ(learnt(place, "run"), learnt(place, "whole"));
  EXPECT_EQ(summary_of(place, "run").at("devices").at(1).at("failures"), 1);
}

TEST(DeviceGroups, AreRefusedInOneLine) {
  Workplace place;
  const auto refused = [&](const Arguments& more, int code, const std::vector<std::string>& parts) {
    test::expect_no_run(place, test::train_on(place, test::sample_archive(test::kDeviceData)) + test::kFewSteps + more, code, parts);
  };
  const auto two = devices({a_group(6, 4), a_group(6, 4, " --rows 64")});
  refused(two + Arguments{"--groups", "3"}, 2, {"--groups: must divide the number of --device; got 3 of 2"});
  refused(two + Arguments{"--groups", "2", "--replicas", "2"}, 2, {"--groups: devices of a layer hold the same parameters or are groups"});
  refused({"--groups", "2"}, 2, {"--groups", "no --device"});
  refused(devices({a_group(6, 4), a_group(6, 5)}) + Arguments{"--groups", "2"}, 3,
          {"device 1: must have the inputs and outputs of device 0, [6,4]", "got [6,5]"});
  refused(devices({a_group(6, 2), a_group(6, 2, " --rows 64")}) + Arguments{"--groups", "2"}, 3,
          {"needs at least K = 3 outputs in every group"});
  test::expect_no_run(place,
                      test::train_on(place, test::sample_archive(test::kDeviceData)) + two +
                          Arguments{"--groups", "2", "--set", "gradient.estimator=transfer"},
                      3, {"gradient.estimator: the devices of a layer are several"});
  place.write("bad.toml", "[[model.device]]\naddress = \"exec:a\"\nreplicas = [\"exec:b\"]\ngroups = [\"exec:c\"]\n");
  refused({"bad.toml"}, 3, {"groups: devices of a layer hold the same parameters or are groups of it; got replicas as well"});
}

}  // namespace
}  // namespace ffzero
