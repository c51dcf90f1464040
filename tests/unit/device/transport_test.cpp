// Programs, sockets and a serial line; the reference devices of examples/devices; devices that misbehave on purpose.
// SPDX-License-Identifier: MIT
#include "ffzero/device/transport.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

#include "ffzero/base/random.hpp"
#include "ffzero/device/check.hpp"
#include "ffzero/device/device_map.hpp"
#include "ffzero/device/serve.hpp"
#include "memory_device.hpp"
#include "support/expect_error.hpp"
#include "support/project_folder.hpp"
#include "support/served.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

Matrix<float> normal(Index rows, Index cols, std::uint64_t seed) {
  Matrix<float> m(rows, cols);
  RandomStream(seed, Stream::test).fill_normal(std::span<float>(m.data(), usize(m.size())));
  return m;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}
bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

std::string example(const std::string& name) { return "'" + (project_folder() / "examples/devices" / name).string() + "'"; }
/// The interpreter itself: what `python3` names may be a script that looks for it at every start, which takes longer than a test.
const std::string& python() {
  static const std::string found = [] {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> says(::popen("python3 -c 'import sys; print(sys.executable)'", "r"), ::pclose);
    std::string path(4096, '\0');
    path.resize(says ? std::fread(path.data(), 1, path.size(), says.get()) : 0);
    while (path.ends_with('\n')) path.pop_back();
    return path.empty() ? std::string("python3") : "'" + path + "'";
  }();
  return found;
}
/// The device of broken_device.py; `unique` makes an address of its own, for addresses are locked.
std::string broken(const std::string& fault) {
  static std::atomic<int> unique{0};
  return "exec:" + python() + " '" + (project_folder() / "tests/unit/device/broken_device.py").string() + "' '" + fault + "' " +
         std::to_string(::getpid()) + "-" + std::to_string(unique++);
}

/// Compares a device with the Product of its shape, which serves in process.
void expect_product(DeviceMap<float>& device, std::uint64_t seed) {
  const Index inputs = device.input_shape().size(), outputs = device.output_shape().size();
  const Product product(inputs, outputs);
  const Matrix<float> theta = normal(1, inputs * outputs, seed), x = normal(70, inputs, seed + 1);
  Matrix<float> y(70, outputs), expected(70, outputs);
  const std::span<const float> parameters(theta.data(), usize(theta.size()));
  device.forward(parameters, x, y);
  product.forward(parameters, x, expected);
  EXPECT_EQ(y, expected);
}

Served served_product(const std::string& listen, const ServeOptions& options) { return {std::make_unique<Product>(5, 3), listen, options}; }

TEST(DeviceTransport, GivesTheSameBitsOverSockets) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "device.sock").string();
  for (const std::string& listen : {std::string("tcp:127.0.0.1:0"), "unix:" + path}) {
    ServeOptions options;
    options.can.pipeline = 4;
    options.can.rows = 16;
    const Served served = served_product(listen, options);
    if (listen.starts_with("unix")) {
      struct stat file {};
      ASSERT_EQ(::stat(path.c_str(), &file), 0);
      EXPECT_EQ(file.st_mode & 0777U, 0600U);
    }
    const std::ptrdiff_t before = open_descriptors();
    for (int i = 0; i < 3; ++i) {
      DeviceMap<float> device(served.address());
      expect_product(device, 1);
    }
    EXPECT_LE(open_descriptors(), before + 1);  // the server may not have closed its side yet
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(DeviceTransport, LetsOneHostInAtATime) {
  const TemporaryFolder folder;
  const Served served = served_product("unix:" + (folder.path() / "a.sock").string(), {});
  DeviceMap<float> first(served.address());
  expect_product(first, 1);
  EXPECT_NE(
      message_of<DeviceError>([&] { DeviceMap<float> second(served.address()); }).find("in use; got process " + std::to_string(::getpid())),
      std::string::npos);
  DeviceMapOptions shared;
  shared.client.exclusive = false;
  EXPECT_NE(message_of<DeviceError>([&] { DeviceMap<float> second(served.address(), shared); }).find("fatal busy"), std::string::npos);
  expect_product(first, 2);
}

TEST(DeviceTransport, RefusesToListenWhereSomebodyDoes) {
  const TemporaryFolder folder;
  const std::string address = "unix:" + (folder.path() / "a.sock").string();
  const Served served = served_product(address, {});
  const Product map(1, 1);
  EXPECT_NE(
      message_of<DeviceError>([&] { serve(map, {}, parse_device_address(address), [] { return true; }); }).find("cannot be listened on"),
      std::string::npos);
}

TEST(DeviceTransport, GivesTheSameBitsOverASerialLine) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(master, 0);
  ASSERT_EQ(::grantpt(master), 0);
  ASSERT_EQ(::unlockpt(master), 0);
  const std::string name = ::ptsname(master);
  const int slave = ::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);  // the line stays while nobody uses it
  const pid_t board = ::fork();
  if (board == 0) {
    ::dup2(master, 0);
    ::dup2(master, 1);
    ::execl(FFZERO_BENCH_C, FFZERO_BENCH_C, nullptr);
    ::_exit(127);
  }
  ASSERT_GT(board, 0);
  for (const std::uint64_t seed : {1U, 2U}) {
    DeviceMapOptions options;
    options.normalise = false;
    DeviceMap<float> device("serial:" + name + "?baud=115200", options);
    EXPECT_EQ(device.parameter_count(), 6);
    expect_product(device, seed);
    EXPECT_EQ(device.receipt().retries, 0);
  }
  ::kill(board, SIGKILL);
  ::waitpid(board, nullptr, 0);
  ::close(slave);
  ::close(master);
}

TEST(DeviceTransport, LeavesNoProgramAndNoDescriptor) {
  const std::ptrdiff_t before = open_descriptors();
  {
    DeviceMapOptions options;
    options.normalise = false;
    DeviceMap<float> device(std::string("exec:'") + FFZERO_BENCH_C + "'", options);
    expect_product(device, 3);
  }
  // A program that hangs, one that is not there, and one that ends at once.
  EXPECT_THROW(DeviceMap<float>("exec:/no/such/program"), DeviceError);
  EXPECT_THROW(DeviceMap<float>("exec:true"), DeviceError);
  DeviceMapOptions impatient;
  impatient.client.hello = Milliseconds(100);
  EXPECT_THROW(DeviceMap<float>("exec:sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000'", impatient), DeviceError);
  EXPECT_TRUE(no_children());
  EXPECT_EQ(open_descriptors(), before);
}

TEST(DeviceTransport, SaysInOneLineWhyThereIsNoDevice) {
  const auto why = [](const std::string& address) { return message_of<DeviceError>([&] { DeviceMap<float> device(address); }); };
  EXPECT_NE(why("exec:/no/such/program").find("cannot be started; got /no/such/program: No such file"), std::string::npos);
  EXPECT_NE(why("unix:/no/such/socket").find("no connection"), std::string::npos);
  EXPECT_NE(why("serial:/no/such/line").find("the line cannot be opened"), std::string::npos);
  EXPECT_NE(why("serial:/dev/null").find("not a serial line"), std::string::npos);
  EXPECT_NE(why("exec:sh -c 'echo no instrument >&2; exit 3'").find("exit code 3, its last words \"no instrument\""), std::string::npos);
}

// --- the reference devices, and those that misbehave ------------------------------------------------------------------------------------

std::vector<CheckStep> checked(const std::string& address, CheckOptions options = {}) {
  return check_device(parse_device_address(address), options);
}

CheckStatus status_of(const std::vector<CheckStep>& steps, const std::string& name) {
  for (const CheckStep& step : steps)
    if (step.name.find(name) != std::string::npos) return step.status;
  ADD_FAILURE() << "no step " << name;
  return CheckStatus::skipped;
}

std::string failures(const std::vector<CheckStep>& steps) {
  std::string all;
  for (const CheckStep& step : steps)
    if (step.status == CheckStatus::failed) all += step.name + ": " + step.detail + "\n";
  return all;
}

TEST(ReferenceDevices, PassTheConformanceTest) {
  CheckOptions options;
  options.calls = 40;
  options.out_of_range = true;
  for (const std::string& address : {"exec:" + python() + " " + example("bench.py") + " --inputs 4 --outputs 3",
                                     "exec:sh " + example("bench.sh"), std::string("exec:'") + FFZERO_BENCH_C + "'"}) {
    const auto steps = checked(address, options);
    EXPECT_EQ(failures(steps), "") << address;
    EXPECT_EQ(steps.size(), 37U);
    EXPECT_EQ(status_of(steps, "the end of the host"), CheckStatus::passed);
  }
}

TEST(ReferenceDevices, PassItBehindSockets) {
  const TemporaryFolder folder;
  ServeOptions serve;
  serve.parameters = {{.first = 0, .count = 15, .min = -4.0, .max = 4.0, .safe = 0.5}};
  serve.can.store = 8;
  CheckOptions options;
  options.calls = 40;
  options.out_of_range = true;
  for (const std::string& listen : {std::string("tcp:127.0.0.1:0"), "unix:" + (folder.path() / "device.sock").string()}) {
    const Served served = served_product(listen, serve);
    const auto steps = checked(served.address(), options);
    EXPECT_EQ(failures(steps), "") << listen;
    EXPECT_EQ(status_of(steps, "the end of the stream"), CheckStatus::passed);
    EXPECT_EQ(status_of(steps, "the end of the host"), CheckStatus::passed);
  }
}

TEST(ReferenceDevices, ArePutNowhereFasterThanTheySay) {
  const Product map(2, 1);
  FakeClock clock;
  ServeOptions serve;
  serve.parameters = {{.first = 0, .count = 2, .min = 0.0, .max = 5.0, .slew = 10.0}};
  serve.can.pipeline = 2;
  serve.can.store = 4;
  std::vector<float> before(2, 0.0F);
  Microseconds at = clock.now();
  int moves = 0;
  double worst = 0.0;  // share of the slew
  serve.on_state = [&](DeviceState state, std::span<const float> now) {
    const double seconds = std::chrono::duration<double>(clock.now() - at).count();
    double jump = 0.0;
    for (std::size_t i = 0; i < now.size(); ++i) jump = std::max(jump, std::abs(double(now[i]) - double(before[i])));
    if (jump > 0.0) at = clock.now();
    before.assign(now.begin(), now.end());
    if (state != DeviceState::ready || jump == 0.0) return;
    ++moves;
    worst = std::max(worst, jump / (10.0 * seconds));
  };
  CheckOptions options;
  options.out_of_range = true;
  options.silence_s = 60.0;
  options.calls = 40;
  const DeviceClient::Open open = [&] { return std::make_unique<MemoryTransport>(std::make_shared<ServerPeer>(map, serve, clock), clock); };
  EXPECT_EQ(failures(check_device(open, options, clock)), "");
  EXPECT_GT(moves, 20);
  EXPECT_LE(worst, 1.001);
}

TEST(ReferenceDevices, OfTheLibraryPassItWithEverythingOn) {
  const Product map(5, 3);
  FakeClock clock;
  ServeOptions serve;
  serve.parameters = {{.first = 0, .count = 15, .min = -1.0, .max = 1.0, .step = 0.001}};
  serve.noise = 0.01;
  serve.times.watchdog_ms = 1000.0;
  serve.can = {.linemax = 64, .rows = 8, .pipeline = 4, .store = 4, .get = true, .f32le = true, .crc = true, .ping = true, .address = true};
  const DeviceClient::Open open = [&] { return std::make_unique<MemoryTransport>(std::make_shared<ServerPeer>(map, serve, clock), clock); };
  CheckOptions options;
  options.out_of_range = true;
  options.drift_s = 3.0;
  const auto steps = check_device(open, options, clock);
  EXPECT_EQ(failures(steps), "");
  for (const CheckStep& step : steps)
    EXPECT_EQ(step.status == CheckStatus::passed, step.name.find("memory") == std::string::npos) << step.name << ": " << step.detail;
}

struct Fault {
  const char *name, *step;
  friend void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }
};

CheckOptions short_check() {
  CheckOptions options;
  options.out_of_range = true;
  options.silence_s = 0.0;
  options.calls = 40;
  return options;
}

class BrokenDevice : public ::testing::TestWithParam<Fault> {};

TEST_P(BrokenDevice, IsFoundByTheConformanceTest) {
  const auto& [fault, step] = GetParam();
  CheckOptions options = short_check();
  // Programs may start slowly; one that never answers need not be waited for so long.
  options.hello = Milliseconds(std::string(fault) == "no_flush" ? 3000 : 30000);
  EXPECT_NE(failures(checked(broken(fault), options)).find(step), std::string::npos);
  EXPECT_TRUE(no_children());
}

INSTANTIATE_TEST_SUITE_P(
    Faults, BrokenDevice,
    ::testing::Values(
        Fault{"exits", "hello is answered"}, Fault{"no_flush", "hello is answered"}, Fault{"one_hello", "hello again"},
        Fault{"takes_long_lines", "a line longer"}, Fault{"get_lies", "read back"}, Fault{"never_unready", "before ready"},
        Fault{"takes_all", "out of range"}, Fault{"applies_at_once", "a staged set"}, Fault{"hysteresis", "A, B, A"},
        Fault{"crash", "evaluations without growth"}, Fault{"late", "declared times"}, Fault{"leaks_nan", "a NaN stays"},
        Fault{"reversed", "a batch equals"}, Fault{"nan", "a reading repeats"}, Fault{"wrong_count", "single bytes"},
        Fault{"words", "single bytes"}, Fault{"takes_any_verb", "an unknown verb"}, Fault{"safe_does_nothing", "safe reaches"},
        Fault{"swallows", "missing row"}, Fault{"ignores_eval_0", "eval 0 applies"}, Fault{"counts_from_one", "inputs that are kept"},
        Fault{"ignores_address", "a reading with an address"}, Fault{"ignores_first_row", "a reading with an address"},
        Fault{"stages_part", "out of range"}, Fault{"takes_nan", "out of range"}, Fault{"forgets_refused", "outlives a refused eval"},
        Fault{"stays", "the end of the stream"}, Fault{"dies_of_it", "the end of the host"}, Fault{"undeclared_noise", "a reading repeats"},
        Fault{"ends_on_term", "the end of the stream"}, Fault{"dies_settling", "the end of the host"},
        Fault{"bye_unanswered", "bye reaches"}, Fault{"outside_output", "a reading repeats"},
        Fault{"takes_more_rows", "outlives a refused eval"}, Fault{"any_checksum", "checksum errors"},
        Fault{"half_checksum", "checksum errors"}, Fault{"no_checksum", "checksum errors"}, Fault{"row_goes_on", "checksum errors"},
        Fault{"payload_unchecked", "checksum errors"}, Fault{"hello_checksum", "hello again"}, Fault{"payload_in_idle", "before ready"},
        Fault{"payload_beyond", "text equals binary"}, Fault{"any_input", "out of range"}, Fault{"input_forgets", "out of range"},
        Fault{"nan_forgets", "a NaN stays"}, Fault{"cut_forgets", "missing row"}, Fault{"ping_forgets", "missing row"},
        Fault{"open_range", "both ends"}, Fault{"hello_goes_on", "hello when ready"}, Fault{"hello_keeps_inputs", "hello when ready"},
        Fault{"short_linemax", "a line longer"}, Fault{"no_return", "CR LF"}, Fault{"fewer_rows", "a batch equals"},
        Fault{"safe_forgets_inputs", "inputs that are kept"}, Fault{"no_load_in_idle", "inputs that are kept"},
        Fault{"store_wraps", "inputs that are kept"}, Fault{"same_noise", "a reading with an address"},
        Fault{"low_bits", "a reading with an address"}, Fault{"safe_silent", "safe in the middle"},
        Fault{"dies_between_rows", "between rows"}, Fault{"safe_keeps_staged", "safe reaches"}, Fault{"ready_once", "ready"}),
    [](const auto& param) { return std::string(param.param.name); });

// Plain, with a slew limit that it insists on, with kept inputs and addresses, with everything.
class ProperDevice : public ::testing::TestWithParam<const char*> {};

TEST_P(ProperDevice, PassesTheConformanceTest) { EXPECT_EQ(failures(checked(broken(GetParam()), short_check())), ""); }

INSTANTIATE_TEST_SUITE_P(Kinds, ProperDevice, ::testing::Values("", "slow", "able", "full"),
                         [](const auto& param) { return *param.param == 0 ? std::string("plain") : std::string(param.param); });

// One fault is one line: what it leaves behind must not fail the other steps.
TEST(BrokenDevices, AreBlamedOnce) {
  struct Blame {
    const char *fault, *step;
    CheckStatus others;  // of the steps behind it
  };
  for (const Blame& blame :
       {Blame{"one_retry", "a reading repeats", CheckStatus::passed}, Blame{"undeclared_noise", "a reading repeats", CheckStatus::passed},
        Blame{"never_ready", "ready", CheckStatus::not_reached}}) {
    const auto steps = checked(broken(blame.fault), short_check());
    const std::string found = failures(steps);
    EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 1) << found;
    EXPECT_EQ(found.find(blame.step), 0U) << found;
    EXPECT_EQ(steps.back().status, blame.others) << blame.fault;
  }
}

TEST(BrokenDevices, AreNotReachedOnceTheyAreGone) {
  const Product map(2, 1);
  FakeClock clock;
  CheckOptions options;
  options.calls = 40;
  int starts = 0;
  const DeviceClient::Open open = [&]() -> std::unique_ptr<Transport> {
    if (++starts > 1) throw DeviceError("device memory", "no connection");
    return std::make_unique<MemoryTransport>(std::make_shared<ServerPeer>(map, ServeOptions{}, clock), clock);
  };
  const auto steps = check_device(open, options, clock);
  const std::string found = failures(steps);
  EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 1) << found;
  EXPECT_EQ(found.find("hello after a restart"), 0U) << found;
  EXPECT_EQ(status_of(steps, "the end of the stream"), CheckStatus::not_reached);
  EXPECT_EQ(steps.back().status, CheckStatus::not_reached);
}

TEST(BrokenDevices, LeakWhereMemoryGoesOnGrowing) {
  CheckOptions options = short_check();
  options.calls = 1000;
  EXPECT_NE(failures(checked(broken("leaks"), options)).find("evaluations without growth"), std::string::npos);
  EXPECT_EQ(failures(checked(broken("fills_a_cache"), options)), "");
}

TEST(BrokenDevices, AreFoundWithoutTheWatchdogThatTheyDeclare) {
  CheckOptions options = short_check();
  options.silence_s = 1.0;
  EXPECT_NE(failures(checked(broken(""), options)).find("silence reaches"), std::string::npos);
  EXPECT_NE(failures(checked(broken("reads_at_safe"), options)).find("whose rows came after the silence"), std::string::npos);
}

TEST(BrokenDevices, WhoseWatchdogBitesEarlyAreFound) {
  const Product map(2, 1);
  FakeClock clock;
  ServeOptions serve;
  serve.times.watchdog_ms = 1000.0;
  CheckOptions options;
  options.calls = 40;
  const auto declare_twice = [](std::string said) {
    const auto at = said.find("watchdog_ms 1000");
    return at == std::string::npos ? said : said.replace(at, 16, "watchdog_ms 2000");
  };
  const DeviceClient::Open open = [&] {
    return std::make_unique<MemoryTransport>(std::make_shared<ServerPeer>(map, serve, clock, declare_twice), clock);
  };
  EXPECT_EQ(failures(check_device(open, options, clock)).find("silence reaches the safe state: eval after 1.2 s"), 0U);
}

/// A server that does not care whether its host is still there.
TEST(BrokenDevices, ThatForgetTheirHostAreFoundBehindASocket) {
  class Careless final : public Peer {
   public:
    explicit Careless(std::shared_ptr<ServerPeer> server) : server_(std::move(server)) {}
    void feed(std::string_view bytes) override { server_->feed(bytes); }
    std::string take() override { return server_->take(); }

   private:
    std::shared_ptr<ServerPeer> server_;
  };
  const Product map(2, 1);
  FakeClock clock;
  CheckOptions options;
  options.calls = 40;
  const auto server = std::make_shared<ServerPeer>(map, ServeOptions{}, clock);
  const DeviceClient::Open open = [&] { return std::make_unique<MemoryTransport>(std::make_shared<Careless>(server), clock); };
  const std::string found = failures(check_device(open, options, clock));
  EXPECT_NE(found.find("the end of the stream reaches the safe state"), std::string::npos) << found;
  EXPECT_NE(found.find("the end of the host in an evaluation"), std::string::npos) << found;
}

TEST(BrokenDevices, EndInOneLineAndASafeDevice) {
  const TemporaryFolder folder;
  struct Ending {
    const char *fault, *words;
    bool goes_on;
  };
  const std::vector<Ending> endings{{"flood", "", true},
                                    {"garbage", "", true},
                                    {"crash", "", true},  // three answers a start: goes on after each
                                    {"hang", "", true},
                                    {"half_line", "", true},
                                    {"nan", "must be finite, read 4 times; got nan", false},
                                    {"wrong_count", "must bring 3 numbers; got 2", false},
                                    {"words", "a row must hold numbers; got \"one\"", false},
                                    {"late", "stalled: request", false},
                                    {"exits", "no instrument at GPIB0::7", false}};
  for (const Ending& ending : endings) {
    const std::string log = (folder.path() / ending.fault).string();
    ::setenv("FFZERO_DEVICE_LOG", log.c_str(), 1);
    std::string said;
    try {
      DeviceMapOptions options;
      options.client.retries = ending.goes_on ? 3 : 1;
      options.rereads = 3;
      DeviceMap<float> device(broken(ending.fault), options);
      const Matrix<float> x = normal(3, 2, 1);
      Matrix<float> y(3, 1);
      for (int i = 0; i < 5; ++i) {
        const std::vector<float> theta{0.5F, 0.1F * static_cast<float>(i + 1)};
        device.forward(theta, x, y);
        EXPECT_NEAR(y(1, 0), 2.0F * (theta[0] * x(1, 0) + theta[1] * x(1, 1)), 1e-5) << ending.fault;
      }
    } catch (const DeviceError& e) {
      said = e.what();
    }
    if (ending.goes_on) {
      EXPECT_EQ(said, "") << ending.fault;
    } else {
      EXPECT_NE(said.find(ending.words), std::string::npos) << ending.fault << ": " << said;
    }
    EXPECT_EQ(said.find_first_of("\n\x1b"), std::string::npos);
    // The last thing that a device of its own will did was to be safe; one that hangs or crashes was started again and is safe as well.
    std::ifstream in(log);
    std::string last, line;
    while (std::getline(in, line)) last = line;
    if (std::string(ending.fault) != "exits" && std::string(ending.fault) != "late") {
      EXPECT_EQ(last, "0 0") << ending.fault;
    }
  }
  ::unsetenv("FFZERO_DEVICE_LOG");
  EXPECT_TRUE(no_children());
}

}  // namespace
}  // namespace ffzero::test
