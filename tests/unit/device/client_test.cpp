// The host against a server in memory, on a clock of its own, with every failure that the protocol knows.
// SPDX-License-Identifier: MIT
#include "ffzero/device/client.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "ffzero/base/random.hpp"
#include "ffzero/device/device_map.hpp"
#include "memory_device.hpp"
#include "support/expect_error.hpp"

namespace ffzero::test {
namespace {

Matrix<float> normal(Index rows, Index cols, std::uint64_t seed) {
  Matrix<float> m(rows, cols);
  RandomStream(seed, Stream::test).fill_normal(std::span<float>(m.data(), usize(m.size())));
  return m;
}

std::span<const float> flat(const Matrix<float>& m) { return {m.data(), usize(m.size())}; }

/// A served product of 5 inputs and 3 outputs, and what it gives in process.
class DeviceClientTest : public ::testing::Test {
 protected:
  std::unique_ptr<DeviceClient> connect(ServerPeer::Change up = {}, ServerPeer::Change down = {}) {
    return client_of(
        clock_,
        [this, up = std::move(up), down = std::move(down)] {
          ++starts_;
          return std::make_shared<ServerPeer>(map_, serve_, clock_, up, down);
        },
        options_, piece_);
  }
  [[nodiscard]] Matrix<float> expected(const Matrix<float>& theta, const Matrix<float>& x) const {
    Matrix<float> y(x.rows(), 3);
    map_.forward(flat(theta), x, y);
    return y;
  }
  void expect_right(DeviceClient& client, std::uint64_t seed, Index rows = 9) {
    const Matrix<float> theta = normal(1, 15, seed), x = normal(rows, 5, seed + 100);
    Matrix<float> y(rows, 3);
    client.evaluate(flat(theta), x, y);
    EXPECT_EQ(y, expected(theta, x));
  }

  Product map_{5, 3};
  FakeClock clock_;
  ServeOptions serve_;
  ClientOptions options_;
  std::size_t piece_ = 1 << 20;
  int starts_ = 0;
};

TEST_F(DeviceClientTest, GivesTheSameBitsForEveryWayToSend) {
  for (const bool binary : {true, false})
    for (const bool crc : {true, false})
      for (const Index linemax : {64, 255})
        for (const Index pipeline : {1, 4})
          for (const std::size_t piece : {std::size_t{1}, std::size_t{1} << 20}) {
            options_.binary = binary;
            serve_.can.crc = crc;
            serve_.can.linemax = linemax;
            serve_.can.pipeline = pipeline;
            serve_.can.rows = 2;
            piece_ = piece;
            const auto client = connect();
            for (std::uint64_t seed = 1; seed < 4; ++seed) expect_right(*client, seed);
            EXPECT_EQ(client->receipt().retries, 0);
            EXPECT_EQ(client->receipt().rows, 27);
            EXPECT_EQ(client->receipt().evaluations, 15);
            EXPECT_EQ(client->receipt().sets, 3);
          }
}

TEST_F(DeviceClientTest, SendsOnlyWhatChanged) {
  const auto client = connect();
  Matrix<float> theta = normal(1, 15, 1), x = normal(1, 5, 2), y(1, 3);
  client->evaluate(flat(theta), x, y);
  EXPECT_EQ(client->receipt().values, 15);
  theta(0, 7) += 1.0F;
  client->evaluate(flat(theta), x, y);
  EXPECT_EQ(client->receipt().values, 16);
  EXPECT_EQ(y, expected(theta, x));
  client->evaluate(flat(theta), x, y);
  EXPECT_EQ(client->receipt().values, 16);
  EXPECT_EQ(client->receipt().sets, 2);
  // The safe state forgets everything.
  client->safe();
  client->evaluate(flat(theta), x, y);
  EXPECT_EQ(client->receipt().values, 31);
  EXPECT_EQ(y, expected(theta, x));
}

TEST_F(DeviceClientTest, LeavesTheDeviceSafeWhateverHappens) {
  serve_.parameters = {{.first = 0, .count = 15, .min = -10.0, .max = 10.0, .safe = 0.5}};
  DeviceState state = DeviceState::ready;
  std::vector<float> set;
  serve_.on_state = [&](DeviceState s, std::span<const float> values) {
    state = s;
    set.assign(values.begin(), values.end());
  };
  const auto use = [&](bool fail) {
    const auto client = connect();
    expect_right(*client, 3);
    EXPECT_EQ(state, DeviceState::ready);
    EXPECT_NE(set[3], 0.5F);
    if (fail) throw std::runtime_error("the user's own");
  };
  use(false);
  EXPECT_EQ(state, DeviceState::idle);
  EXPECT_EQ(set, std::vector<float>(15, 0.5F));
  EXPECT_THROW(use(true), std::runtime_error);
  EXPECT_EQ(set, std::vector<float>(15, 0.5F));
}

TEST_F(DeviceClientTest, RepeatsAfterAnErrorWithAFullSet) {
  serve_.can.pipeline = 4;
  serve_.can.rows = 1;
  int evals = 0;
  // The third evaluation of all is refused once, with others under way.
  const auto client = connect([&](std::string said) {
    for (std::size_t at = said.find(" data "); at != std::string::npos; at = said.find(" data ", at + 1)) {
      if (++evals != 3) continue;
      const auto begin = said.rfind('\n', at) + 1;
      const std::string number = said.substr(begin, at - begin);
      const auto end = said.find(number + " ok", at);
      return said.substr(0, begin) + number + " error retry laser unlocked\n" + said.substr(said.find('\n', end) + 1);
    }
    return said;
  });
  expect_right(*client, 1, 8);
  EXPECT_GE(client->receipt().retries, 1);
  EXPECT_EQ(client->receipt().rows, 8);
  EXPECT_EQ(client->receipt().values, 30);
  EXPECT_EQ(starts_, 1);
}

TEST_F(DeviceClientTest, RecoversFromDamageInBothDirections) {
  serve_.can.crc = true;
  serve_.can.pipeline = 3;
  serve_.can.rows = 2;
  for (const bool binary : {false, true}) {
    options_.binary = binary;
    options_.retries = 20;
    int heard = 0, said = 0;
    const auto flip = [](std::string bytes, int& count, int period) {
      for (char& c : bytes)
        if (++count % period == 0 && count > 400) c = static_cast<char>(c ^ 4);
      return bytes;
    };
    const auto client = connect([&](std::string bytes) { return flip(std::move(bytes), said, 1501); },
                                [&](std::string bytes) { return flip(std::move(bytes), heard, 1811); });
    for (std::uint64_t seed = 1; seed < 20; ++seed) expect_right(*client, seed);
    EXPECT_GT(client->receipt().retries, 0) << binary;
    EXPECT_EQ(client->receipt().failed, 0);
  }
}

TEST_F(DeviceClientTest, PassesOverAPayloadWhoseHeaderWasDamaged) {
  serve_.can.crc = true;
  // Every byte of a value ends a line, so that each is answered by itself, without a number; or none does, so that it swallows a line.
  for (const float value : {std::bit_cast<float>(0x0A0A0A0AU), 1.5F}) {
    starts_ = 0;
    bool damaged = false;
    const auto client = connect({}, [&](std::string bytes) {
      const auto at = bytes.find("f32le");
      if (!damaged && at != std::string::npos) {
        damaged = true;
        bytes[at] = 'g';
      }
      return bytes;
    });
    const Matrix<float> theta = Matrix<float>::Constant(1, 15, value), x = normal(2, 5, 1);
    Matrix<float> y(2, 3);
    client->evaluate(flat(theta), x, y);
    EXPECT_EQ(y, expected(theta, x));
    EXPECT_EQ(client->receipt().retries, 1);
    EXPECT_EQ(starts_, 1);
  }
}

TEST_F(DeviceClientTest, StartsAgainWhenTheDeviceDiesOrStalls) {
  for (const bool dies : {true, false}) {
    starts_ = 0;
    // Every start answers two evaluations.
    const auto client = client_of(clock_, [&]() -> std::shared_ptr<Peer> {
      ++starts_;
      auto inner = std::make_shared<ServerPeer>(map_, serve_, clock_);
      class Mortal final : public Peer {
       public:
        Mortal(std::shared_ptr<ServerPeer> peer, bool death) : peer_(std::move(peer)), death_(death) {}
        void feed(std::string_view bytes) override {
          if (bytes.find(" eval ") != std::string_view::npos && ++evals_ > 2) gone_ = true;
          if (!gone_) peer_->feed(bytes);
        }
        std::string take() override { return gone_ ? "" : peer_->take(); }
        [[nodiscard]] bool ended() const override { return gone_ && death_; }

       private:
        std::shared_ptr<ServerPeer> peer_;
        bool death_, gone_ = false;
        int evals_ = 0;
      };
      return std::make_shared<Mortal>(inner, dies);
    });
    for (std::uint64_t seed = 1; seed < 6; ++seed) expect_right(*client, seed);
    EXPECT_EQ(starts_, 3);
    EXPECT_EQ(client->receipt().restarts, 2);
    EXPECT_EQ(client->receipt().retries, 2);
  }
}

TEST_F(DeviceClientTest, GetsReadyAgainAfterTheWatchdog) {
  const auto client = connect();
  expect_right(*client, 1);
  clock_.sleep(Milliseconds(40000));
  expect_right(*client, 2);
  EXPECT_EQ(client->receipt().values, 45);  // the second set was refused, the third was full
  EXPECT_EQ(starts_, 1);
}

TEST_F(DeviceClientTest, IsNotSilentWhileTheDeviceWorks) {
  serve_.times.watchdog_ms = 200.0;
  serve_.times.row_ms = 50.0;
  const auto client = connect();
  Matrix<float> theta = normal(1, 15, 1), x = normal(9, 5, 2), y(9, 3);
  client->evaluate(flat(theta), x, y);
  theta(0, 7) += 1.0F;
  client->evaluate(flat(theta), x, y);
  EXPECT_EQ(y, expected(theta, x));
  EXPECT_EQ(client->receipt().values, 16);  // a full set would mean that it had gone to its safe state
}

TEST_F(DeviceClientTest, MovesSlowParametersInSteps) {
  serve_.parameters = {{.first = 0, .count = 15, .min = -100.0, .max = 100.0, .slew = 10.0}};
  serve_.times.set_ms = 20.0;
  std::vector<float> before(15, 0.0F);
  Microseconds at = clock_.now();
  serve_.on_state = [&](DeviceState state, std::span<const float> now) {
    if (state == DeviceState::ready)
      for (std::size_t i = 0; i < now.size(); ++i)
        if (now[i] != before[i]) {
          EXPECT_LE(std::abs(now[i] - before[i]), 10.0 * 0.02 + 1e-5);
          EXPECT_GE(clock_.now() - at, Microseconds(20000));
        }
    if (!std::equal(now.begin(), now.end(), before.begin())) at = clock_.now();
    before.assign(now.begin(), now.end());
  };
  const auto client = connect();
  expect_right(*client, 1);
  expect_right(*client, 2);
  EXPECT_GT(client->receipt().sets, 10);
}

TEST_F(DeviceClientTest, KeepsAddressedNoiseWhenABatchIsSplit) {
  serve_.noise = 0.1;
  const Matrix<float> theta = normal(1, 15, 1), x = normal(10, 5, 2);
  Matrix<float> first(10, 3), second(10, 3), other(10, 3);
  connect()->evaluate(flat(theta), x, first, ReadingAddress{.stream = 3, .step = 7});
  serve_.can.rows = 3;
  serve_.can.pipeline = 2;
  connect()->evaluate(flat(theta), x, second, ReadingAddress{.stream = 3, .step = 7});
  connect()->evaluate(flat(theta), x, other, ReadingAddress{.stream = 3, .step = 7, .side = 1});
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
  EXPECT_NE(first, expected(theta, x));
}

TEST_F(DeviceClientTest, UsesInputsThatTheDeviceKeeps) {
  serve_.can.store = 8;
  for (const bool binary : {true, false}) {
    options_.binary = binary;
    const auto client = connect();
    const Matrix<float> theta = normal(1, 15, 1), x = normal(8, 5, 2);
    client->store(0, x);
    const std::vector<Index> where{5, 5, 0, 7};
    Matrix<float> y(4, 3);
    client->evaluate_stored(flat(theta), where, y);
    EXPECT_EQ(y, expected(theta, x(where, Eigen::all)));
    EXPECT_THROW(client->store(7, x.topRows(2)), DeviceError);
    EXPECT_EQ(client->get(3, 4), std::vector<float>(theta.data() + 3, theta.data() + 7));
  }
}

TEST_F(DeviceClientTest, RefusesWhatTheDeviceWouldNotTake) {
  serve_.parameters = {{.first = 0, .count = 15, .unit = "V", .min = 0.0, .max = 5.0}};
  const auto client = connect();
  const std::vector<float> theta(15, 6.0F);
  const Matrix<float> x = normal(1, 5, 1);
  Matrix<float> y(1, 3);
  EXPECT_EQ(message_of<DeviceError>([&] { client->evaluate(theta, x, y); }),
            "device memory: parameter 0 must lie in 0 .. 5; got 6; keep it inside");
  EXPECT_EQ(client->receipt().evaluations, 0);
}

// --- devices that say something else --------------------------------------------------------------------------------------------------

const std::string kHello = "0 proto 1\n0 id test\n0 shape 1 1 1\n0 time answer_ms 1000 safe_ms 100\n0 ok\n";

/// Answers hello, ready, ping, safe and bye as it should; `other` has the rest (set, eval, row).
std::string polite(const std::string& line, const std::function<std::string(const std::string&, const std::string&)>& other,
                   const std::string& greeting = kHello) {
  std::string_view rest = line;
  const std::string number(next_token(rest)), verb(next_token(rest));
  if (verb == "hello") return greeting;
  if (verb == "ready" || verb == "ping" || verb == "safe" || verb == "bye") return number + " ok\n";
  return other(number, verb);
}

class OddDevice : public ::testing::Test {
 protected:
  DeviceError error_of(const std::function<std::string(const std::string&, const std::string&)>& other,
                       const std::string& greeting = kHello) {
    try {
      const auto client = client_of(clock_, [&] {
        ++starts_;
        return std::make_shared<ScriptPeer>([&](const std::string& line) { return polite(line, other, greeting); });
      });
      const std::vector<float> theta(1, 2.0F);
      Matrix<float> x = Matrix<float>::Ones(1, 1);
      y_ = Matrix<float>::Zero(1, 1);
      client->evaluate(theta, x, y_);
      log_ = client->log();
    } catch (const DeviceError& e) {
      EXPECT_EQ(std::string(e.what()).find_first_of("\n\x1b"), std::string::npos);
      return e;
    }
    return DeviceError("nothing", "was thrown");
  }
  FakeClock clock_;
  Matrix<float> y_;
  ForeignLog log_;
  int starts_ = 0;
};

std::string echo(const std::string& n, const std::string& verb) {
  return verb == "set" ? n + " ok\n" : verb == "row" ? n + " row 7\n" + n + " ok\n" : "";
}

TEST_F(OddDevice, MaySayMoreThanItShould) {
  const DeviceError none = error_of([](const std::string& n, const std::string& verb) {
    return "debug: " + verb + "\x1b[2J\n" + (verb == "row" ? "1 row 99\n1 ok\n" : "") + echo(n, verb) + "17 oops\n";
  });
  EXPECT_STREQ(none.what(), "nothing: was thrown");
  EXPECT_EQ(y_(0, 0), 7.0F);
  EXPECT_GE(log_.count(), 4);
  for (const auto& line : log_.lines()) EXPECT_EQ(line.find('\x1b'), std::string::npos);
}

TEST_F(OddDevice, MayAskForTime) {
  const Microseconds begun = clock_.now();
  int waits = 0;
  const DeviceError none = error_of([&](const std::string& n, const std::string& verb) {
    if (verb == "row" && waits++ == 0) return n + " wait 60000 warming up\n";
    return echo(n, verb);
  });
  // It never went on: stalled after the minute it asked for, then started again and answered.
  EXPECT_STREQ(none.what(), "nothing: was thrown");
  EXPECT_GE(clock_.now() - begun, Milliseconds(60000));
  EXPECT_EQ(starts_, 2);
}

TEST_F(OddDevice, MayAskForTimeBeforeItSaysWhatItIs) {
  class Slow final : public Peer {
   public:
    Slow(Clock& clock, bool asks) : clock_(clock), begun_(clock.now()), asks_(asks) {}
    void feed(std::string_view) override { heard_ = true; }
    std::string take() override {
      if (!heard_ || told_ == 2) return "";
      if (told_ == 0 && asks_) {
        told_ = 1;
        return "0 wait 60000 opening the instruments\n";
      }
      if (clock_.now() - begun_ < Milliseconds(50000)) return "";
      told_ = 2;
      return kHello;
    }

   private:
    Clock& clock_;
    Microseconds begun_;
    bool asks_, heard_ = false;
    int told_ = 0;
  };
  EXPECT_EQ(client_of(clock_, [&] { return std::make_shared<Slow>(clock_, true); })->description().inputs, 1);
  EXPECT_THROW(client_of(clock_, [&] { return std::make_shared<Slow>(clock_, false); }), DeviceError);
}

TEST_F(OddDevice, StallsInOneLine) {
  const DeviceError e = error_of([](const std::string& n, const std::string& verb) { return verb == "set" ? n + " ok\n" : ""; });
  EXPECT_EQ(e.reason(), DeviceFailure::timeout);
  EXPECT_NE(std::string(e.what()).find("(eval) must be answered within 1000 ms"), std::string::npos) << e.what();
  EXPECT_EQ(starts_, 4);
}

TEST_F(OddDevice, DiesInOneLine) {
  const DeviceError e =
      error_of([](const std::string& n, const std::string& verb) { return verb == "set" ? n + " ok\n" : "Traceback\n\x04"; });
  EXPECT_EQ(e.reason(), DeviceFailure::disconnected);
  EXPECT_NE(std::string(e.what()).find("died: the stream ended"), std::string::npos) << e.what();
  EXPECT_NE(std::string(e.what()).find("Traceback"), std::string::npos) << e.what();
}

TEST_F(OddDevice, BreaksTheContractInOneLine) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"N ok\n", "must bring 1 number; got 0"},
      {"N row 1 2\nN ok\n", "a row must have 1 number"},
      {"N row 1\nN row 2\nN ok\n", "no more rows are wanted"},
      {"N row 1,5\nN ok\n", "a row must hold numbers; got \"1,5\""},
      {"N wait soon\n", "wait needs a number"},
      {"N data 8 f32le\n12345678N ok\n", "data of a length"},
      {"N error retry laser unlocked\n", "refuses eval; got \"retry laser unlocked\""},
      {"N error curious what\n", "\"curious what\""},
  };
  for (const auto& [said, part] : cases) {
    starts_ = 0;
    int asked = 0;
    const DeviceError e = error_of([&, said = said](const std::string& n, const std::string& verb) {
      if (verb != "row") return echo(n, verb);
      ++asked;
      std::string text = said;
      for (auto at = text.find('N'); at != std::string::npos; at = text.find('N', at + 1)) text.replace(at, 1, n);
      return text;
    });
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    EXPECT_EQ(asked, 4) << said;  // once, and three times more
  }
}

TEST_F(OddDevice, IsNotAskedTwiceWhatItRefusesForGood) {
  for (const char* text : {"range parameter 0 above 1", "unsupported set", "fatal on fire"}) {
    int asked = 0;
    const DeviceError e = error_of([&](const std::string& n, const std::string& verb) {
      if (verb == "set") ++asked;
      return verb == "set" ? n + " error " + text + "\n" : n + " error unready\n";
    });
    EXPECT_EQ(e.reason(), DeviceFailure::refused);
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
    EXPECT_EQ(asked, 1);
  }
}

TEST_F(OddDevice, IsRefusedForWhatItSaysOfItself) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"0 proto 2\n0 shape 1 1 1\n0 ok\n", "proto"},
      {"0 shape 1 1 1\n0 ok\n", "got none"},
      {"0 proto 1\n0 ok\n", "shape"},
      {"0 proto 1\n0 shape 1 1 -1\n0 ok\n", "parameters must be a whole number"},
      {"0 proto 1\n0 shape 1 1 99999999999\n0 ok\n", "parameters must be a whole number"},
      {"0 proto 1\n0 shape 1 1 1\n0 param 0 1 min 5 max 5\n0 ok\n", "min must be below max"},
      {"0 proto 1\n0 shape 1 1 1\n0 param 0 1 min 0 max 5 step 0\n0 ok\n", "step must be above 0"},
      {"0 proto 1\n0 shape 1 1 1\n0 param 0 2\n0 ok\n", "disjoint"},
      {"0 proto 1\n0 shape 1 1 1\n0 param 0 1 min 1 max 2\n0 ok\n", "safe must lie inside"},
      {"0 proto 1\n0 shape 1 1 1\n0 param 0 1 min nan\n0 ok\n", "finite"},
      {"0 proto 1\n0 shape 1 1 1\n0 time answer_ms 0\n0 ok\n", "answer_ms must be above 0"},
      {"0 proto 1\n0 shape 1 1 1\n0 cap linemax 20\n0 ok\n", "linemax"},
      {"0 error fatal busy\n", "refuses hello; got \"fatal busy\""},
      {"0 proto 1\n\x04", "died: the stream ended before hello"},
      {"", "stalled: hello must be answered within 30000 ms"},
      {"0 proto 1", "half a line"},
  };
  for (const auto& [greeting, part] : cases) {
    const DeviceError e = error_of(echo, greeting);
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("device memory"), std::string::npos);
  }
}

// --- as a layer -----------------------------------------------------------------------------------------------------------------------

TEST_F(DeviceClientTest, IsALayerWithTheBitsOfTheMap) {
  const DeviceMap<double> layer(connect(), {});
  const Matrix<float> theta = normal(1, 15, 1), x = normal(4, 5, 2);
  const Matrix<double> wide = theta.cast<double>();
  Matrix<double> y(4, 3);
  layer.forward(std::span<const double>(wide.data(), 15), x.cast<double>(), y);
  EXPECT_EQ(y, expected(theta, x).cast<double>());
  EXPECT_EQ(layer.parameter_count(), 15);
  EXPECT_EQ(layer.receipt().rows, 4);
}

TEST_F(DeviceClientTest, AsALayerWorksOnNormalisedParameters) {
  serve_.parameters = {{.first = 0, .count = 15, .min = 0.0, .max = 4.0}};
  DeviceMapOptions options;
  const DeviceMap<float> layer(connect(), options);
  const Matrix<float> x = normal(2, 5, 2);
  Matrix<float> y(2, 3);
  layer.forward(std::vector<float>(15, 0.5F), x, y);
  EXPECT_EQ(y, expected(Matrix<float>::Constant(1, 15, 3.0F), x));
  EXPECT_NE(message_of<DeviceError>([&] { layer.forward(std::vector<float>(15, 1.5F), x, y); }).find("project"), std::string::npos);
  options.out_of_range = OutOfRange::project;
  const DeviceMap<float> projecting(connect(), options);
  projecting.forward(std::vector<float>(15, 1.5F), x, y);
  EXPECT_EQ(y, expected(Matrix<float>::Constant(1, 15, 4.0F), x));
  EXPECT_EQ(projecting.receipt().projected, 15);
}

TEST_F(DeviceClientTest, AsALayerReadsBadRowsAgain) {
  class Blinking final : public ForwardMap<float> {
   public:
    [[nodiscard]] Shape input_shape() const override { return {.width = 1}; }
    [[nodiscard]] Shape output_shape() const override { return {.width = 1}; }
    [[nodiscard]] Index parameter_count() const override { return 1; }
    void forward(std::span<const float>, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
      y = x;
      if (calls++ < bad) y(0, 0) = NAN;
    }
    mutable int calls = 0;
    int bad = 2;
  };
  Blinking map;
  const auto layer_on = [&](const DeviceMapOptions& options) {
    return std::make_unique<DeviceMap<float>>(client_of(clock_, [&] { return std::make_shared<ServerPeer>(map, ServeOptions{}, clock_); }),
                                              options);
  };
  const Matrix<float> x = normal(3, 1, 1);
  Matrix<float> y(3, 1);
  layer_on({})->forward(std::vector<float>(1), x, y);
  EXPECT_EQ(y, x);
  map.calls = 0;
  map.bad = 100;
  try {
    layer_on({})->forward(std::vector<float>(1), x, y);
    FAIL();
  } catch (const DeviceError& e) {
    EXPECT_EQ(e.reason(), DeviceFailure::not_finite);
    EXPECT_NE(std::string(e.what()).find("output 0 of row 0 must be finite, read 4 times; got nan"), std::string::npos) << e.what();
  }
  map.calls = 0;
  DeviceMapOptions pass;
  pass.pass_not_finite = true;
  layer_on(pass)->forward(std::vector<float>(1), x, y);
  EXPECT_TRUE(std::isnan(y(0, 0)));
  EXPECT_EQ(y(1, 0), x(1, 0));
}

TEST_F(DeviceClientTest, OverlapsEvaluationsInTheLatencyOfTheLink) {
  serve_.latency_ms = 10.0;
  serve_.can.rows = 1;
  const auto time_of = [&](Index pipeline) {
    serve_.can.pipeline = pipeline;
    const auto client = connect();
    const Microseconds begun = clock_.now();
    expect_right(*client, 1, 40);
    return clock_.now() - begun;
  };
  const auto one = time_of(1), four = time_of(4);
  EXPECT_GE(one, Milliseconds(400));
  EXPECT_LE(four * 35, one * 10);
}

/// What a server of one input and one output says to each piece.
class ServedDevice : public ::testing::Test {
 protected:
  ServedDevice() {
    options_.times.watchdog_ms = 1000.0;
    options_.can.rows = options_.can.store = 4;
  }
  std::string say(const std::string& bytes) {
    if (!server_) server_ = std::make_unique<DeviceServer>(map_, options_, clock_);
    server_->feed(bytes);
    server_->tick();
    return server_->take();
  }

  Product map_{1, 1};
  FakeClock clock_;
  ServeOptions options_;
  std::unique_ptr<DeviceServer> server_;
};

TEST_F(ServedDevice, SaysWhichClassOfError) {
  EXPECT_EQ(say("1 ready\n"), "1 ok\n");
  for (const char* unreadable :
       {"2 set", "2 set 0", "2 set -1 1", "2 set 0.5 1", "2 set 0 one", "2 get 0", "2 get 0 x", "2 load 0", "2 eval"})
    EXPECT_TRUE(say(std::string(unreadable) + "\n").starts_with("2 error retry")) << unreadable;
  for (const char* beyond : {"2 set 1 1", "2 set 9 1", "2 get 0 2", "2 load 3 2", "2 eval 1 at 4"})
    EXPECT_TRUE(say(std::string(beyond) + "\n").starts_with("2 error range")) << beyond;
  for (const char* unknown : {"2 eval 5", "2 load 0 5", "2 eval 1 twice"})
    EXPECT_EQ(say(std::string(unknown) + "\n").find("2 error"), 0U) << unknown;
  EXPECT_TRUE(say("2 eval 5\n").starts_with("2 error unsupported"));
  EXPECT_EQ(say("3 ping\n"), "3 ok\n");
}

// Whatever cannot be read where rows are missing may have been one of them.
TEST_F(ServedDevice, EndsTheEvalWhoseRowsAreMissing) {
  EXPECT_EQ(say("1 ready\n"), "1 ok\n");
  EXPECT_EQ(say("2 eval 2\n2 row 1\n1 row 1\n"), "");
  EXPECT_EQ(say("no protocol\n"), "2 error retry a line begins with its number\n");
  EXPECT_EQ(say("2 row 1\n3 ping\n"), "3 ok\n");

  options_.can.crc = true;
  server_.reset();
  const auto checked = [](std::string line) {
    end_line(line, 0, true);
    return line;
  };
  const std::string hello = say("0 hello ffzero 1\n");
  EXPECT_TRUE(hello.ends_with("0 ok\n")) << hello;
  EXPECT_EQ(say(checked("1 ready")), checked("1 ok"));
  std::string damaged = checked("2 row 1");
  damaged[0] = '7';
  EXPECT_EQ(say(checked("2 eval 2") + damaged + checked("2 row 1")), checked("2 error retry crc"));
  EXPECT_EQ(say(damaged), checked("7 error retry crc"));
}

TEST_F(ServedDevice, IsNotReadAtItsSafeValuesAfterTheWatchdog) {
  const std::string row("\0\0\x80\x3f", 4);
  EXPECT_EQ(say("1 ready\n2 set 0 1\n3 eval 2\n3 row 1\n"), "1 ok\n2 ok\n");
  clock_.sleep(Milliseconds(1500));
  EXPECT_EQ(say("3 row 1\n"), "3 error unready the host was silent\n");
  EXPECT_EQ(say("4 ready\n5 set 0 1\n6 eval 1 f32le\n" + row.substr(0, 1)), "4 ok\n5 ok\n");
  clock_.sleep(Milliseconds(1500));
  EXPECT_EQ(say(row.substr(1) + "7 ping\n"), "6 error unready the host was silent\n7 ok\n");
}

}  // namespace
}  // namespace ffzero::test
