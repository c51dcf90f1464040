// The conformance test of the device protocol.
// SPDX-License-Identifier: MIT
#include "ffzero/device/check.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <utility>

#include "ffzero/base/random.hpp"
#include "ffzero/device/slew.hpp"
#include "ffzero/device/text.hpp"

namespace ffzero {

namespace {

constexpr Index kRepeats = 32;           // readings behind a measured noise
constexpr double kSigmas = 6.0;          // two readings of one thing may differ by so much noise
constexpr double kRounding = 1e-5;       // relative: a device may add in another order in a batch
constexpr double kNormalReach = 0.5;     // parameters are drawn in this part of their range
constexpr Index kMostRefused = 1 << 17;  // in a batch that is sent to be refused
constexpr Milliseconds kEnding{2000};    // a program may take so much longer to end than to be safe
constexpr double kLongestPause_ms = 2000.0;
constexpr double kRowsRead_ms = 50.0;  // a device has read by then what it was sent
constexpr int kMostStalls = 6;         // steps without an answer in time, after which nothing more is asked

// Times and measured noise: three digits say enough, or whole numbers.
std::string brief(double value) {
  if (std::abs(value) >= 100.0 && std::abs(value) < 1e15) return std::to_string(std::llround(value));
  char text[32];
  const auto done = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 3);
  return {text, done.ptr};
}

/// Thrown by a step that does not hold.
struct StepFailed {
  std::string detail;
};
/// Thrown by a step that cannot be looked at.
struct NotObserved {
  std::string detail;
};
/// Thrown where nothing can be asked any more.
struct NotReached {};

Milliseconds of_whole_ms(double ms) { return Milliseconds(static_cast<std::int64_t>(std::ceil(ms))); }

void require(bool holds, const std::string& detail) {
  if (!holds) throw StepFailed{detail};
}

/// What came back for one request.
struct Reply {
  enum class End { ok, error, timeout, died };
  End end = End::timeout;
  std::uint32_t number = 0;  // as answered: 0 for errors about unreadable lines
  std::string text;          // of an error
  std::vector<float> values;
  double ms = 0.0;

  [[nodiscard]] std::string words() const {
    switch (end) {
      case End::ok:
        return "ok";
      case End::error:
        return "\"error " + clean_text(text) + "\"";
      case End::timeout:
        return "no answer in time";
      case End::died:
        return "the end of the stream";
    }
    return {};
  }
  [[nodiscard]] bool refused(std::string_view name = {}) const { return end == End::error && text.starts_with(name); }
};

/// A plain conversation without any repair.
class Conversation {
 public:
  Conversation(const DeviceClient::Open& open, Clock& clock)
      : open_(open), clock_(clock), decoder_([](std::string_view) {}), in_(1 << 16) {}
  [[nodiscard]] Clock& clock() const noexcept { return clock_; }
  ~Conversation() { close(); }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  void start() {
    decoder_ = AnswerDecoder([this](std::string_view line) { stray.add(line); });
    transport_ = open_();
    lost_ = stalled_ = false;
    checksums_ = false;
  }
  void close() noexcept {
    if (!transport_) return;
    transport_->close(std::max(Milliseconds(200), of_whole_ms(said.times.safe_ms)));
    transport_.reset();
  }
  /// How long a program may take to end by itself.
  [[nodiscard]] Milliseconds ending_limit() const { return of_whole_ms(said.times.safe_ms) + kEnding; }
  /// Ends the stream as the sudden end of the host would, with `bytes` as its last words and `pause` behind them. How the program ended,
  /// and after how long: it has ending_limit(), then it gets TERM; "" if it is none, "signal ..." if it had to be killed.
  std::string disappear(std::string_view bytes, Microseconds pause, double& ms) {
    // A fast program would else have answered before the end.
    transport_->stop_reading();
    send_only(bytes);
    clock_.sleep(pause);
    const Microseconds begun = clock_.now();
    transport_->drop();
    transport_->close(ending_limit());
    ms = std::chrono::duration<double, std::milli>(clock_.now() - begun).count();
    std::string ending = transport_->ending();
    transport_.reset();
    return ending;
  }
  /// Sends what is not answered yet.
  void send_only(std::string_view bytes) {
    for (int i = 0; i < 1000 && !bytes.empty(); ++i) {
      const auto moved = transport_->exchange(bytes, in_, Milliseconds(10));
      bytes.remove_prefix(moved.sent);
      decoder_.feed({in_.data(), moved.received});
      if (moved.ended) break;
    }
  }
  [[nodiscard]] bool lost() const noexcept { return lost_ || !transport_; }
  /// A request was not answered in time since the start.
  [[nodiscard]] bool stalled() const noexcept { return stalled_; }
  /// The number of the last `ok` or `error` that came for another request than the one asked for.
  [[nodiscard]] std::uint32_t answered_late() const noexcept { return answered_late_; }
  [[nodiscard]] long process() const { return transport_ ? transport_->process() : 0; }
  [[nodiscard]] Microseconds now() const { return clock_.now(); }
  void sleep(Microseconds duration) { clock_.sleep(duration); }

  Reply hello(Milliseconds limit) {
    DeviceDescription found;
    checksums_ = false;
    decoder_.expect_checksums(false);
    // On a serial line something may stand before it, and the board may be starting.
    const Microseconds until = clock_.now() + limit;
    Reply reply;
    for (int again = 0; again < 30 && clock_.now() < until; ++again) {
      reply = converse("\n0 hello ffzero 1\n", 0, std::min<Microseconds>(until, clock_.now() + (serial ? Milliseconds(1000) : limit)),
                       1 << 20, [&](const WireAnswer& answer) { absorb(answer, found); });
      if (reply.end != Reply::End::timeout) break;
    }
    stalled_ = reply.end == Reply::End::timeout;
    if (reply.end != Reply::End::ok) return reply;
    found.finish("device");
    said = std::move(found);
    checksums_ = said.can.crc;
    decoder_.expect_checksums(checksums_);
    decoder_.set_largest_payload(usize(said.can.rows * said.outputs) * sizeof(float));
    return reply;
  }
  /// `verb ...`, with rows behind it. piece: bytes that are written at once
  Reply ask(const std::string& verb, const Matrix<float>* rows = nullptr, std::size_t piece = 1 << 20) {
    const std::uint32_t n = ++number_;
    return converse(request(n, verb, rows), n, deadline(rows != nullptr ? rows->rows() : 0), piece);
  }
  /// The same without rows behind it, for `count` rows.
  Reply ask_for(const std::string& verb, Index count) {
    const std::uint32_t n = ++number_;
    return converse(request(n, verb), n, deadline(count), 1 << 20);
  }
  Reply send_raw(const std::string& bytes, std::uint32_t number) { return converse(bytes, number, deadline(0), 1 << 20); }
  [[nodiscard]] std::uint32_t next_number() noexcept { return ++number_; }
  [[nodiscard]] std::string request(std::uint32_t n, const std::string& verb, const Matrix<float>* rows = nullptr) const {
    std::string bytes = std::to_string(n) + " " + verb;
    end_line(bytes, 0, checksums_);
    if (rows == nullptr) return bytes;
    if (verb.find(" f32le") != std::string::npos) {
      const std::size_t begin = bytes.size();
      append_floats(bytes, {rows->data(), usize(rows->size())});
      if (checksums_) append_word32(bytes, crc32_of(std::string_view(bytes).substr(begin)));
      return bytes;
    }
    for (Index i = 0; i < rows->rows(); ++i)
      append_values(bytes, std::to_string(n) + " row", {rows->row(i).data(), usize(rows->cols())}, usize(said.can.linemax), checksums_);
    return bytes;
  }
  /// The end of one more request, after `bytes` of several were sent.
  Reply await(std::uint32_t number, Index rows) { return converse("", number, deadline(rows), 1); }

  DeviceDescription said;
  ForeignLog stray;
  bool serial = false;

 private:
  static void absorb(const WireAnswer& answer, DeviceDescription& found) {
    // Two numbers and a text: a checksum behind `shape` can be nothing else.
    std::string_view rest = answer.rest;
    require(answer.word != AnswerWord::shape || take_checksum(rest) == Checksum::absent, "the answer to hello has checksums");
    found.absorb(answer.word, answer.rest, "device");
  }
  [[nodiscard]] Microseconds deadline(Index rows) const {
    const double ms = said.times.answer_ms + said.times.set_ms + said.times.row_ms * static_cast<double>(rows);
    return clock_.now() + Microseconds(static_cast<std::int64_t>(ms * 1000.0));
  }
  Reply converse(std::string_view out, std::uint32_t number, Microseconds until, std::size_t piece,
                 const std::function<void(const WireAnswer&)>& line = {}) {
    Reply reply;
    const Microseconds begun = clock_.now();
    const auto end = [&](Reply::End how) {
      reply.end = how;
      reply.ms = std::chrono::duration<double, std::milli>(clock_.now() - begun).count();
      if (how == Reply::End::died) lost_ = true;
      if (how == Reply::End::timeout) stalled_ = true;
      return reply;
    };
    if (lost()) return end(Reply::End::died);
    while (true) {
      WireAnswer answer;
      while (decoder_.next(answer)) {
        const bool about_damage = answer.number == 0 && answer.word == AnswerWord::error;
        if (answer.kind == WireAnswer::Kind::lost || answer.kind == WireAnswer::Kind::damaged)
          throw StepFailed{"damaged: \"" + clean_text(answer.rest, 60) + "\""};
        if (answer.number != number && !about_damage) {
          if (answer.word == AnswerWord::ok || answer.word == AnswerWord::error) answered_late_ = answer.number;
          continue;
        }
        reply.number = answer.number;
        if (answer.word == AnswerWord::ok) return end(Reply::End::ok);
        if (answer.word == AnswerWord::error) {
          reply.text = answer.rest.substr(std::min<std::size_t>(1, answer.rest.size()));
          return end(Reply::End::error);
        }
        if (answer.word == AnswerWord::wait) {
          std::string_view rest = answer.rest;
          until = std::max(until, clock_.now() + Milliseconds(parse_count(next_token(rest), 600000).value_or(0)));
        } else if (answer.word == AnswerWord::data) {
          reply.values.resize(answer.payload.size() / sizeof(float));
          read_floats(answer.payload.substr(0, reply.values.size() * sizeof(float)), reply.values);
        } else if (answer.word == AnswerWord::row) {
          std::string_view rest = answer.rest;
          for (auto token = next_token(rest); !token.empty(); token = next_token(rest)) {
            const auto value = parse_number(token);
            require(value.has_value(), "a row holds \"" + clean_text(token, 40) + "\"");
            reply.values.push_back(*value);
          }
        } else if (line) {
          line(answer);
        }
      }
      const Microseconds now = clock_.now();
      if (now >= until) return end(Reply::End::timeout);
      const auto moved = transport_->exchange(out.substr(0, piece), in_, std::chrono::ceil<Milliseconds>(until - now));
      out.remove_prefix(moved.sent);
      if (moved.side) stray.add_stream(transport_->take_side_output());
      if (moved.received > 0)
        decoder_.feed({in_.data(), moved.received});
      else if (moved.ended)
        return end(Reply::End::died);
    }
  }

  const DeviceClient::Open& open_;
  Clock& clock_;
  std::unique_ptr<Transport> transport_;
  AnswerDecoder decoder_;
  std::vector<char> in_;
  std::uint32_t number_ = 0, answered_late_ = 0;
  bool lost_ = false, stalled_ = false, checksums_ = false;
};

class Checker {
 public:
  Checker(const DeviceClient::Open& open, const CheckOptions& options, Clock& clock, const std::function<void(const CheckStep&)>& on_step)
      : options_(options), talk_(open, clock), on_step_(on_step) {
    talk_.serial = options_.serial;
  }

  std::vector<CheckStep> run() {
    talk_.start();
    step("hello is answered in time", [this] { return greet(); });
    if (steps_.back().status == CheckStatus::failed) return std::move(steps_);
    draw();
    step("hello again without a restart", [this] { return greet_again(); });
    step("set and eval before ready are refused", [this] { return unready(); });
    step("ready", [this] { return get_ready(); });
    step("an unknown verb is refused, the next request works", [this] { return unknown_verb(); });
    step("requests cut into single bytes", [this] { return pieces(1); });
    step("requests in pieces of 64 KiB", [this] { return pieces(1 << 16); });
    step("a line longer than linemax is refused", [this] { return long_line(); });
    step("a line that ends in CR LF is taken", [this] { return carriage_return(); });
    step("answers come within the declared times", [this] { return in_time(); });
    step("a reading repeats within the noise", [this] { return noise(); });
    step("a batch equals its rows, in order", [this] { return batch(); });
    step("parameters A, B, A give the same reading", [this] { return there_and_back(); });
    step("a staged set is applied by eval, together", [this] { return staged(); });
    step("eval 0 applies and answers nothing else", [this] { return eval_nothing(); });
    step("what is staged outlives a refused eval", [this] { return refused_eval(); });
    step("another request in place of a missing row ends the eval", [this] { return missing_row(); });
    step("parameters read back within their step", [this] { return read_back(); });
    step("both ends of each range are taken", [this] { return range_ends(); });
    step("a NaN stays in its row", [this] { return not_a_number(); });
    step("values out of range are refused and change nothing", [this] { return out_of_range(); });
    step("several evaluations under way", [this] { return pipeline(); });
    step("text equals binary", [this] { return binary(); });
    step("inputs that are kept read as those that are sent", [this] { return store(); });
    step("a reading with an address repeats, another is another", [this] { return addresses(); });
    step("checksum errors are found", [this] { return checksum(); });
    step("safe in the middle of an evaluation", [this] { return safe_midway(); });
    step("safe reaches the safe values", [this] { return safe_values(); });
    step("silence reaches the safe state", [this] { return silence(); });
    step("drift", [this] { return drift(); });
    step(std::to_string(options_.calls) + " evaluations without growth of memory", [this] { return growth(); });
    step("hello when ready goes idle", [this] { return hello_when_ready(); });
    step("hello after a restart", [this] { return restart(); });
    step("the end of the stream reaches the safe state", [this] { return end_of_stream(HostEnd::at_rest); });
    step("the end of the host between rows reaches the safe state", [this] { return end_of_stream(HostEnd::between_rows); });
    step("the end of the host in an evaluation reaches the safe state", [this] { return end_of_stream(HostEnd::in_evaluation); });
    step("bye reaches the safe state and is answered", [this] { return farewell(); });
    return std::move(steps_);
  }

 private:
  template <class Body>
  void step(const std::string& name, Body&& body) {
    CheckStep done{.name = name, .status = CheckStatus::passed, .detail = {}};
    try {
      reach();
      done.detail = body();
    } catch (const StepFailed& failed) {
      done.status = CheckStatus::failed;
      done.detail = failed.detail;
    } catch (const NotObserved& seen) {
      done.status = seen.detail.starts_with("not asked") ? CheckStatus::skipped : CheckStatus::not_observed;
      done.detail = seen.detail;
    } catch (const NotReached&) {
      done.status = CheckStatus::not_reached;
      done.detail = out_of_reach_;
    } catch (const DeviceError& error) {
      done.status = CheckStatus::failed;
      done.detail = error.what();
    }
    start_over_ = done.status == CheckStatus::failed;
    if (start_over_ && talk_.stalled() && ++stalls_ == kMostStalls)
      out_of_reach_ = std::to_string(kMostStalls) + " steps have had no answer in time";
    steps_.push_back(done);
    if (on_step_) on_step_(done);
  }

  // --- what steps are made of ---------------------------------------------------------------------------------------------------------

  // What a step that failed left behind must not fail the next one: it gets a new stream.
  void reach() {
    if (out_of_reach_.empty() && !start_over_ && (!talk_.lost() || steps_.empty())) return;
    try {
      if (out_of_reach_.empty()) start_again();
    } catch (const StepFailed&) {
    } catch (const DeviceError&) {
    }
    if (!out_of_reach_.empty()) throw NotReached{};
  }
  void start_again() {
    talk_.close();
    out_of_reach_ = "the device does not start again";
    talk_.start();
    require(talk_.hello(options_.hello).end == Reply::End::ok && (!was_ready_ || become_ready().end == Reply::End::ok), out_of_reach_);
    out_of_reach_.clear();
  }
  /// Out of idle, so that the parameters are in their safe place.
  Reply become_ready() {
    const Reply reply = talk_.ask("ready");
    slew_ = SlewPath(DeviceDescription::spread(talk_.said.parameter_ranges, talk_.said.parameters), talk_.said.times.set_ms);
    slew_.start(talk_.said.safe_values(), talk_.now());
    return reply;
  }
  void draw() {
    const DeviceDescription& said = talk_.said;
    const auto parameters = DeviceDescription::spread(said.parameter_ranges, said.parameters);
    const auto inputs = DeviceDescription::spread(said.input_ranges, said.inputs);
    const auto values = [&](const std::vector<ParameterRange>& ranges, std::uint32_t part, Index rows) {
      Matrix<float> m(rows, isize(ranges.size()));
      RandomStream(options_.seed, Stream::test, part).fill_uniform(std::span<float>(m.data(), usize(m.size())));
      for (Index i = 0; i < rows; ++i)
        for (Index k = 0; k < m.cols(); ++k)
          m(i, k) = static_cast<float>(to_device_units(ranges[usize(k)], kNormalReach * (2.0 * static_cast<double>(m(i, k)) - 1.0)));
      return m;
    };
    rows_ = std::min<Index>(said.can.rows, 5);
    a_ = values(parameters, 0, 1);
    b_ = values(parameters, 1, 1);
    x_ = values(inputs, 2, rows_);
    // Until it has been measured.
    const auto outputs = DeviceDescription::spread(said.output_ranges, said.outputs);
    noise_.resize(said.outputs);
    for (Index k = 0; k < said.outputs; ++k) noise_[k] = outputs[usize(k)].noise;
  }

  Matrix<float> of(const Reply& reply, Index rows, const std::string& what) {
    require(reply.end == Reply::End::ok, what + " was answered by " + reply.words());
    require(isize(reply.values.size()) == rows * talk_.said.outputs,
            what + " must bring " + std::to_string(rows * talk_.said.outputs) + " numbers; got " + std::to_string(reply.values.size()));
    return Eigen::Map<const Matrix<float>>(reply.values.data(), rows, talk_.said.outputs);
  }
  void stage(std::span<const float> left) {
    for (Index first = 0; !left.empty();) {
      // As long as a line may be, the number of the request and a checksum included.
      std::string line;
      const Index count = append_values_line(line, "set " + std::to_string(first), left, usize(talk_.said.can.linemax) - 18, false);
      line.pop_back();
      const Reply reply = talk_.ask(line);
      require(reply.end == Reply::End::ok, "set was answered by " + reply.words());
      left = left.subspan(usize(count));
      first += count;
    }
  }
  static std::span<const float> flat(const Matrix<float>& theta) { return {theta.data(), usize(theta.size())}; }
  /// Parameters with a slew limit come near to theta; nothing moves without one.
  void approach(const Matrix<float>& theta) {
    slew_.approach(flat(theta), talk_.clock(), [this](std::span<const float> between) {
      stage(between);
      static_cast<void>(eval(Matrix<float>(0, talk_.said.inputs)));
    });
  }
  void set(const Matrix<float>& theta) {
    approach(theta);
    stage(flat(theta));
  }
  Matrix<float> eval(const Matrix<float>& x, std::size_t piece = 1 << 20) { return eval_with("", x, piece); }
  /// words: what stands behind ROWS
  Matrix<float> eval_with(const std::string& words, const Matrix<float>& x, std::size_t piece = 1 << 20) {
    const std::string verb = "eval " + std::to_string(x.rows()) + words;
    Matrix<float> y = of(talk_.ask(verb, &x, piece), x.rows(), "\"" + verb + "\"");
    slew_.arrived(talk_.now());
    return y;
  }
  Matrix<float> read(const Matrix<float>& theta, const Matrix<float>& x) {
    set(theta);
    return eval(x);
  }
  std::vector<float> get() {
    if (!talk_.said.can.get) throw NotObserved{"the device cannot read back (cap get)"};
    std::vector<float> all;
    const Index count = talk_.said.parameters;
    for (Index first = 0; first < count; first += 64) {
      const Index part = std::min<Index>(64, count - first);
      const Reply reply = talk_.ask("get " + std::to_string(first) + " " + std::to_string(part));
      require(reply.end == Reply::End::ok && isize(reply.values.size()) == part, "get of " + std::to_string(part) + " was answered by " +
                                                                                     reply.words() + " with " +
                                                                                     std::to_string(reply.values.size()) + " numbers");
      all.insert(all.end(), reply.values.begin(), reply.values.end());
    }
    return all;
  }
  [[nodiscard]] double tolerance(double value, Index output) const {
    return kSigmas * std::sqrt(2.0) * noise_[output] + kRounding * (1.0 + std::abs(value));
  }
  void require_same(const Matrix<float>& found, const Matrix<float>& expected, const std::string& what) const {
    for (Index i = 0; i < found.rows(); ++i)
      for (Index k = 0; k < found.cols(); ++k)
        require(std::abs(static_cast<double>(found(i, k)) - static_cast<double>(expected(i, k))) <= tolerance(expected(i, k), k),
                what + ": row " + std::to_string(i) + ", output " + std::to_string(k) + " is " + number_text(found(i, k)) + " instead of " +
                    number_text(expected(i, k)));
  }
  void require_values(const std::vector<float>& found, const Matrix<float>& expected, const std::string& what) const {
    const auto ranges = DeviceDescription::spread(talk_.said.parameter_ranges, talk_.said.parameters);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double wanted = expected(0, isize(i));
      require(std::abs(found[i] - wanted) <= 0.5001 * ranges[i].step + 1e-6 * (1.0 + std::abs(wanted)),
              what + ": parameter " + std::to_string(i) + " is " + number_text(found[i]) + " instead of " + number_text(wanted));
    }
  }
  [[nodiscard]] Matrix<float> safe() const {
    const std::vector<float> values = talk_.said.safe_values();
    return Eigen::Map<const Matrix<float>>(values.data(), 1, isize(values.size()));
  }

  // --- the steps ----------------------------------------------------------------------------------------------------------------------

  std::string greet() {
    const Reply reply = talk_.hello(options_.hello);
    require(reply.end == Reply::End::ok,
            "answered by " + reply.words() + (talk_.stray.last().empty() ? "" : "; it said \"" + talk_.stray.last() + "\""));
    const DeviceDescription& said = talk_.said;
    return std::to_string(said.inputs) + " inputs, " + std::to_string(said.outputs) + " outputs, " + std::to_string(said.parameters) +
           " parameters, after " + brief(reply.ms) + " ms";
  }
  std::string greet_again() {
    const DeviceDescription before = talk_.said;
    const Reply reply = talk_.hello(options_.hello);
    require(reply.end == Reply::End::ok, "answered by " + reply.words());
    require(before.inputs == talk_.said.inputs && before.outputs == talk_.said.outputs && before.parameters == talk_.said.parameters,
            "says another shape");
    return "";
  }
  std::string unready() {
    const Matrix<float> one = x_.topRows(1);
    const Reply reply = talk_.ask("eval 1", &one);
    require(reply.refused("unready"), "eval was answered by " + reply.words() + " instead of error unready");
    if (talk_.said.can.f32le) refuse_binary("eval 1 f32le", one, "unready");
    if (talk_.said.parameters == 0) return "";
    if (talk_.said.can.f32le) refuse_binary("set 0 " + std::to_string(a_.cols()) + " f32le", a_, "unready");
    const Reply second = talk_.ask("set 0 " + number_text(a_(0, 0)));
    require(second.refused("unready"), "set was answered by " + second.words() + " instead of error unready");
    return "";
  }
  // A payload is read to its end though its request is refused: else its bytes are taken for the next request.
  void refuse_binary(const std::string& verb, const Matrix<float>& values, std::string_view error) {
    const Reply refused = talk_.ask(verb, &values);
    require(refused.refused(error),
            "\"" + verb + "\" was answered by " + refused.words() + ", which should be error " + std::string(error));
    const Reply next = talk_.ask("ping");
    require(next.end == Reply::End::ok || (next.refused("unsupported") && next.number != 0),
            "ping behind the payload of \"" + verb + "\", which was refused, was answered by " + next.words());
  }
  std::string get_ready() {
    // Nothing that follows can be seen of a device that does not.
    out_of_reach_ = "the device does not become ready";
    const Reply reply = become_ready();
    require(reply.end == Reply::End::ok, "answered by " + reply.words());
    const Reply again = talk_.ask("ready");
    require(again.end == Reply::End::ok, "said again it was answered by " + again.words());
    out_of_reach_.clear();
    was_ready_ = true;
    return "after " + brief(reply.ms) + " ms";
  }
  std::string unknown_verb() {
    const Reply reply = talk_.ask("frobnicate 1 2 3");
    require(reply.end == Reply::End::error, "answered by " + reply.words());
    static_cast<void>(read(a_, x_));
    return reply.refused("unsupported") ? "" : "refused by " + reply.words() + ", which should be error unsupported";
  }
  std::string pieces(std::size_t piece) {
    set(a_);
    static_cast<void>(eval(x_, piece));
    return "";
  }
  std::string long_line() {
    const std::size_t linemax = usize(talk_.said.can.linemax);
    const std::uint32_t n = talk_.next_number();
    std::string line = std::to_string(n) + " ping ";
    line += std::string(linemax + 1 - line.size(), 'x') + "\n";
    const Reply reply = talk_.send_raw(line, n);
    require(reply.end == Reply::End::error, std::to_string(line.size()) + " bytes were answered by " + reply.words());
    static_cast<void>(read(a_, x_));
    // One that is as long as a line may be, filled with blanks.
    const std::uint32_t m = talk_.next_number();
    const auto [verb, rest] = harmless();
    const std::size_t filled = linemax - talk_.request(m, verb + rest).size();
    const Reply longest = talk_.send_raw(talk_.request(m, verb + std::string(filled, ' ') + rest), m);
    require(longest.end == Reply::End::ok, "a line of just " + std::to_string(linemax) + " bytes was answered by " + longest.words());
    return "";
  }
  std::string carriage_return() {
    static_cast<void>(read(a_, x_));
    const std::uint32_t n = talk_.next_number();
    const auto [verb, rest] = harmless();
    std::string line = talk_.request(n, verb + rest);
    line.insert(line.size() - 1, "\r");
    const Reply reply = talk_.send_raw(line, n);
    require(reply.end == Reply::End::ok, "\"" + verb + rest + "\" was answered by " + reply.words());
    return "";
  }
  /// A request that every device takes and that changes nothing after a reading at a_, in two parts.
  [[nodiscard]] std::pair<std::string, std::string> harmless() const {
    if (talk_.said.parameters == 0) return {"ready", ""};
    return {"set 0", " " + number_text(a_(0, 0))};
  }
  std::string in_time() {
    set(a_);
    const Reply reply = talk_.ask("eval " + std::to_string(rows_), &x_);
    static_cast<void>(of(reply, rows_, "eval"));
    const DeviceTimes& times = talk_.said.times;
    const double most = times.answer_ms + times.set_ms + times.row_ms * static_cast<double>(rows_);
    require(reply.ms <= most, "eval took " + brief(reply.ms) + " ms, at most " + number_text(most) + " are declared");
    return std::to_string(rows_) + " rows in " + brief(reply.ms) + " ms";
  }
  // Measures the noise, and how far outputs move with the parameters: together they say which eps is worth sending.
  std::string noise() {
    set(a_);
    const Index outputs = talk_.said.outputs;
    Matrix<double> all(kRepeats, rows_ * outputs);
    for (Index i = 0; i < kRepeats; ++i) all.row(i) = eval(x_).reshaped<Eigen::RowMajor>().transpose().cast<double>();
    const auto declared = DeviceDescription::spread(talk_.said.output_ranges, outputs);
    for (Index k = 0; k < all.cols(); ++k)
      for (Index i = 0; i < kRepeats; ++i) {
        const ParameterRange& range = declared[usize(k % outputs)];
        require(std::isfinite(all(i, k)), "output " + std::to_string(k % outputs) + " is " + number_text(all(i, k)));
        require(range.contains(all(i, k)), "output " + std::to_string(k % outputs) + " is " + number_text(all(i, k)) + ", declared is " +
                                               number_text(range.min) + " .. " + number_text(range.max) + "; training would end at once");
      }
    const Eigen::RowVectorXd mean = all.colwise().mean();
    const Eigen::VectorXd deviation = ((all.rowwise() - mean).colwise().squaredNorm() / double(kRepeats - 1)).array().sqrt();
    // Noise may follow the size of what is read: that of the noisiest row stands for all.
    noise_ = deviation.reshaped(outputs, rows_).rowwise().maxCoeff();
    for (Index k = 0; k < deviation.size(); ++k)
      require(deviation[k] <= 2.0 * declared[usize(k % outputs)].noise + kRounding * (1.0 + std::abs(mean[k])),
              "output " + std::to_string(k % outputs) + " has noise " + number_text(deviation[k]) + ", declared is " +
                  number_text(declared[usize(k % outputs)].noise));
    return "noise " + brief(noise_.maxCoeff()) + advice(x_.topRows(1));
  }
  std::string advice(const Matrix<float>& x) {
    if (talk_.said.parameters == 0) return "";
    const auto ranges = DeviceDescription::spread(talk_.said.parameter_ranges, talk_.said.parameters);
    std::vector<float> signs(ranges.size());
    RandomStream(options_.seed, Stream::test, 9).fill_sign(std::span<float>(signs), 0, 1.0F);
    const double length = 0.1 / std::sqrt(static_cast<double>(ranges.size()));  // of a unit direction, in normalised units
    Matrix<float> plus = a_, minus = a_;
    double step = 0.0;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const double t = to_normalised(ranges[i], a_(0, isize(i)));
      plus(0, isize(i)) = static_cast<float>(to_device_units(ranges[i], t + length * signs[i]));
      minus(0, isize(i)) = static_cast<float>(to_device_units(ranges[i], t - length * signs[i]));
      step = std::max(step, normalised_step(ranges[i]) * std::sqrt(static_cast<double>(ranges.size())));
    }
    const Matrix<float> difference = read(plus, x) - read(minus, x);
    const double slope = difference.norm() / std::sqrt(static_cast<double>(difference.size())) / 0.2;
    if (slope <= 0.0) return ", outputs do not move with the parameters";
    // Ten times the noise of a difference, and two steps of the converters.
    const double eps = std::max(10.0 * std::sqrt(2.0) * noise_.maxCoeff() / (2.0 * slope), 2.0 * step);
    return eps > 0.0 ? ", gradient.eps at least " + brief(eps) : ", no lower bound on gradient.eps";
  }
  std::string batch() {
    if (rows_ == 1) throw NotObserved{"the device takes one row at a time (cap rows)"};
    const Matrix<float> together = read(a_, x_);
    for (Index i = 0; i < rows_; ++i)
      require_same(eval(x_.middleRows(i, 1)), together.middleRows(i, 1), "row " + std::to_string(i) + " alone");
    largest_batch(together);
    return "";
  }
  // As many rows as it says that it takes, unless they are too many to send for a test.
  void largest_batch(const Matrix<float>& expected) {
    const Index rows = talk_.said.can.rows;
    if (rows * talk_.said.inputs > kMostRefused || static_cast<double>(rows) * talk_.said.times.row_ms > kLongestPause_ms) return;
    Matrix<float> x(rows, talk_.said.inputs);
    for (Index i = 0; i < rows; ++i) x.row(i) = x_.row(i % rows_);
    const Matrix<float> found = eval(x);
    for (Index i = 0; i < rows; ++i)
      require_same(found.middleRows(i, 1), expected.middleRows(i % rows_, 1), "row " + std::to_string(i) + " of " + std::to_string(rows));
  }
  std::string there_and_back() {
    const Matrix<float> first = read(a_, x_), other = read(b_, x_), again = read(a_, x_);
    require_same(again, first, "A again");
    return (other - first).cwiseAbs().maxCoeff() > 0.0F ? "" : "outputs do not move with the parameters";
  }
  std::string staged() {
    if (talk_.said.parameters < 1) throw NotObserved{"no parameters"};
    static_cast<void>(read(a_, x_));
    approach(b_);
    const std::vector<float> before = get();
    stage(flat(b_));
    require(get() == before, "set alone has changed the parameters");
    static_cast<void>(eval(x_));
    require_values(get(), b_, "after eval");
    return "";
  }
  std::string eval_nothing() {
    if (talk_.said.parameters < 1) throw NotObserved{"no parameters"};
    const Matrix<float> nothing(0, talk_.said.inputs);
    const Matrix<float> first = read(b_, x_);
    static_cast<void>(read(a_, x_));
    set(b_);
    static_cast<void>(eval(nothing));
    if (!talk_.said.can.get) {
      require_same(eval(x_), first, "after eval 0");
      return "answered; when it was applied cannot be seen (cap get)";
    }
    require_values(get(), b_, "after eval 0");
    return "";
  }
  // More rows than it takes: the page lets it answer before or after they have come.
  Reply too_many_rows() {
    const Index rows = talk_.said.can.rows + 1;
    if (rows * talk_.said.inputs > kMostRefused) throw NotObserved{"it takes batches too large to send one that it refuses"};
    const Matrix<float> x = x_.topRows(1).replicate(rows, 1);
    return talk_.ask("eval " + std::to_string(rows), &x);
  }
  std::string refused_eval() {
    if (talk_.said.parameters < 1) throw NotObserved{"no parameters"};
    const Matrix<float> other = read(b_, x_), first = read(a_, x_);
    set(b_);
    const Reply refused = too_many_rows();
    require(refused.end == Reply::End::error, "more rows than declared (cap rows) were answered by " + refused.words());
    require_same(eval(x_), other, "staged before a refused eval");
    if (talk_.said.can.get) require_values(get(), b_, "staged before a refused eval");
    return talk_.said.can.get || (other - first).cwiseAbs().maxCoeff() > 0.0F ? "" : "outputs do not move with the parameters";
  }
  std::string missing_row() {
    if (rows_ < 2) throw NotObserved{"the device takes one row at a time (cap rows)"};
    const Matrix<float> other = read(b_, x_), one = x_.topRows(1);
    static_cast<void>(read(a_, x_));
    set(b_);
    const std::uint32_t n = talk_.next_number(), m = talk_.next_number();
    const Reply eval_ended = talk_.send_raw(talk_.request(n, "eval 2", &one) + talk_.request(m, "ping"), n);
    require(eval_ended.refused(), "an eval with one row of two was answered by " + eval_ended.words());
    const Reply behind = talk_.await(m, 0);
    require(behind.end == Reply::End::ok || behind.refused(), "the request behind it was answered by " + behind.words());
    require_same(eval(x_), other, "staged before an eval that came to nothing");
    return "";
  }
  std::string read_back() {
    static_cast<void>(read(a_, x_));
    require_values(get(), a_, "read back");
    return "";
  }
  std::string range_ends() {
    static_cast<void>(read(a_, x_));
    Index tried = 0;
    for (const ParameterRange& range : talk_.said.parameter_ranges)
      for (const float value : {nearest_inside(range.min, 1), nearest_inside(range.max, -1)}) {
        if (range.count == 0 || !std::isfinite(value)) continue;
        ++tried;
        const std::string verb = "set " + std::to_string(range.first) + " " + number_text(value);
        const Reply reply = talk_.ask(verb);
        // Where there is a slew limit it may refuse a jump.
        require(reply.end == Reply::End::ok || (std::isfinite(range.slew) && reply.refused("retry")),
                "\"" + verb + "\" was answered by " + reply.words());
      }
    stage(flat(a_));
    if (tried == 0) throw NotObserved{"no parameter has a limit"};
    return "";
  }
  /// The number of binary32 at `end`, or beside it in the direction of `side`: what the host sends.
  static float nearest_inside(double end, int side) {
    const auto rounded = static_cast<float>(end);
    const double beyond = (end - static_cast<double>(rounded)) * side;
    return beyond > 0.0 ? std::nextafter(rounded, static_cast<float>(side) * std::numeric_limits<float>::infinity()) : rounded;
  }
  std::string not_a_number() {
    if (rows_ < 3) throw NotObserved{"needs three rows in a batch"};
    const Matrix<float> clean = read(b_, x_);
    Matrix<float> x = x_;
    x(1, 0) = std::numeric_limits<float>::quiet_NaN();
    static_cast<void>(read(a_, x_));
    set(b_);
    const Reply reply = talk_.ask("eval " + std::to_string(rows_), &x);
    if (reply.end == Reply::End::error) {
      require_same(eval(x_), clean, "staged before it was refused");
      return "the device refuses NaN";
    }
    const Matrix<float> found = of(reply, rows_, "eval with a NaN");
    for (Index i = 0; i < rows_; ++i)
      if (i != 1) require_same(found.middleRows(i, 1), clean.middleRows(i, 1), "beside a NaN");
    require_same(eval(x_), clean, "after a NaN");
    return "";
  }
  std::string out_of_range() {
    if (!options_.out_of_range) throw NotObserved{"not asked for (--out-of-range)"};
    const Matrix<float> clean = read(a_, x_);
    Index tried = 0;
    for (const ParameterRange& range : talk_.said.parameter_ranges) {
      if (range.count == 0) continue;
      for (const double value : {range.max + 0.1 * (1.0 + std::abs(range.max)), range.min - 0.1 * (1.0 + std::abs(range.min))}) {
        if (!std::isfinite(value)) continue;
        ++tried;
        const Reply reply = talk_.ask("set " + std::to_string(range.first) + " " + number_text(value));
        require(reply.refused("range"),
                "set " + std::to_string(range.first) + " " + number_text(value) + " was answered by " + reply.words());
      }
    }
    refuse_whole();
    require_same(eval(x_), clean, "after refusals");
    if (talk_.said.can.get) require_values(get(), a_, "after refusals");
    refuse_inputs();
    return tried > 0 ? "" : "NaN only: the device declares no limits";
  }
  // An eval that is refused for an input leaves what was staged before it.
  void refuse_inputs() {
    if (talk_.said.input_ranges.empty()) return;
    const Matrix<float> other = read(b_, x_);
    static_cast<void>(read(a_, x_));
    set(b_);
    for (const ParameterRange& range : talk_.said.input_ranges)
      for (const double value : {range.max + 0.1 * (1.0 + std::abs(range.max)), range.min - 0.1 * (1.0 + std::abs(range.min))}) {
        if (range.count == 0 || !std::isfinite(value)) continue;
        Matrix<float> x = x_;
        x(rows_ - 1, range.first) = static_cast<float>(value);
        for (const std::string& form : forms()) {
          const Reply reply = talk_.ask("eval " + std::to_string(rows_) + form, &x);
          require(reply.refused("range"),
                  "eval with input " + std::to_string(range.first) + " at " + number_text(value) + " was answered by " + reply.words());
        }
      }
    require_same(eval(x_), other, "staged before an eval that was refused for its input");
  }
  // A set is refused as a whole: what is good in it must not be staged, wherever it stands.
  void refuse_whole() {
    if (talk_.said.parameters == 0) throw NotObserved{"no parameters"};
    const auto ranges = DeviceDescription::spread(talk_.said.parameter_ranges, talk_.said.parameters);
    const auto try_at = [&](std::size_t bad, const std::string& value) {
      const std::size_t good = bad + 1 < ranges.size() ? bad + 1 : bad == 0 ? bad : bad - 1;
      std::string text = "set " + std::to_string(std::min(good, bad)) + " ";
      // The good one from where the parameters are, as far as one step of a slow one goes.
      const float other = std::isfinite(ranges[good].slew) ? a_(0, isize(good)) : b_(0, isize(good));
      if (good < bad) text += number_text(other) + " ";
      text += value;
      if (good > bad) text += " " + number_text(other);
      const Reply reply = talk_.ask(text);
      require(reply.refused("range"), text + " was answered by " + reply.words());
    };
    std::vector<std::size_t> places{0, ranges.size() - 1};
    for (const std::size_t at : places) try_at(at, "nan");
    for (std::size_t i = 0; i < ranges.size() && places.size() < 6; ++i)
      if (ranges[i].bounded()) places.push_back(i);
    for (const std::size_t at : places)
      if (std::isfinite(ranges[at].max)) try_at(at, number_text(ranges[at].max + 0.1 * (1.0 + std::abs(ranges[at].max))));
  }
  std::string pipeline() {
    if (talk_.said.can.pipeline < 2) throw NotObserved{"the device takes one evaluation at a time (cap pipeline)"};
    set(a_);
    const Matrix<float> first = x_.topRows(1), second = x_.bottomRows(1);
    const Matrix<float> expected_first = eval(first), expected_second = eval(second);
    const std::uint32_t n = talk_.next_number(), m = talk_.next_number();
    const Reply one = talk_.send_raw(talk_.request(n, "eval 1", &first) + talk_.request(m, "eval 1", &second), n);
    require_same(of(one, 1, "the first of two"), expected_first, "the first of two");
    require_same(of(talk_.await(m, 1), 1, "the second of two"), expected_second, "the second of two");
    return "";
  }
  std::string binary() {
    if (!talk_.said.can.f32le) throw NotObserved{"the device speaks text only (cap f32le)"};
    const Matrix<float> text = read(a_, x_);
    const Reply set_again = talk_.ask("set 0 " + std::to_string(b_.cols()) + " f32le", &b_);
    require(set_again.end == Reply::End::ok, "set f32le was answered by " + set_again.words());
    const Reply back = talk_.ask("set 0 " + std::to_string(a_.cols()) + " f32le", &a_);
    require(back.end == Reply::End::ok, "set f32le was answered by " + back.words());
    require_same(eval_with(" f32le", x_), text, "binary");
    if (a_.cols() > 0) refuse_binary("set " + std::to_string(a_.cols()) + " 1 f32le", a_.leftCols(1), "range");
    const Index rows = talk_.said.can.rows + 1;
    if (rows * talk_.said.inputs <= kMostRefused)
      refuse_binary("eval " + std::to_string(rows) + " f32le", x_.topRows(1).replicate(rows, 1), "");
    require_same(eval_with(" f32le", x_), text, "binary, after refusals");
    return "";
  }
  // Text and, where it is spoken, binary.
  [[nodiscard]] std::vector<std::string> forms() const {
    return talk_.said.can.f32le ? std::vector<std::string>{"", " f32le"} : std::vector<std::string>{""};
  }
  std::string store() {
    const Index room = talk_.said.can.store;
    if (room == 0) throw NotObserved{"the device keeps no inputs (cap store)"};
    const Matrix<float> sent = read(a_, x_);
    for (const std::string& form : forms()) {
      // In two parts where there is room, so that FIRST matters; asked for backwards.
      const Index count = std::min(rows_, room), second = count > 1 ? 1 : count;
      load(0, x_.topRows(second), form);
      if (second < count) load(second, x_.middleRows(second, count - second), form);
      std::string list;
      for (Index i = count; i-- > 0;) list += " " + std::to_string(i);
      const std::string verb = "eval " + std::to_string(count) + form + " at" + list;
      require_same(of(talk_.ask_for(verb, count), count, verb), sent.topRows(count).colwise().reverse(), verb);
    }
    const Reply beyond = talk_.ask("eval 1 at " + std::to_string(room));
    require(beyond.refused(), "eval 1 at " + std::to_string(room) + ", where nothing can be, was answered by " + beyond.words());
    if (room > rows_) {
      const Reply empty = talk_.ask("eval 1 at " + std::to_string(room - 1));
      require(empty.refused("range"), "eval 1 at " + std::to_string(room - 1) + ", where nothing is, was answered by " + empty.words());
    }
    require_same(eval(x_), sent, "after inputs that were kept");
    keep_through_safe(sent);
    return "";
  }
  void load(Index first, const Matrix<float>& x, const std::string& form = "") {
    const std::string verb = "load " + std::to_string(first) + " " + std::to_string(x.rows()) + form;
    const Reply reply = talk_.ask(verb, &x);
    require(reply.end == Reply::End::ok, verb + " was answered by " + reply.words());
  }
  // Safe leaves them, and more may come in idle; the last place is one as the others.
  void keep_through_safe(const Matrix<float>& sent) {
    const Index last = talk_.said.can.store - 1;
    require(talk_.ask("safe").end == Reply::End::ok, "safe is refused");
    load(last, x_.bottomRows(1));
    require(become_ready().end == Reply::End::ok, "ready is refused");
    set(a_);
    const auto require_kept = [&](Index place, const Matrix<float>& expected, const std::string& what) {
      const std::string verb = "eval 1 at " + std::to_string(place);
      require_same(of(talk_.ask_for(verb, 1), 1, verb + ", " + what), expected, verb + ", " + what);
    };
    if (last > 0) require_kept(0, sent.topRows(1), "after safe");
    require_kept(last, sent.bottomRows(1), "loaded in idle");
  }
  std::string addresses() {
    if (!talk_.said.can.address) throw NotObserved{"readings have no addresses (cap address)"};
    set(a_);
    const std::string words = " addr 1 2 0 0 ";
    const Matrix<float> first = eval_with(words + "0", x_);
    const auto differs = [&](const Matrix<float>& found, const Matrix<float>& expected) {
      return ((found - expected).cwiseAbs().array() > static_cast<float>(kRounding) * (1.0F + expected.cwiseAbs().array())).any();
    };
    for (const std::string& form : forms()) {
      require(!differs(eval_with(words + "0" + form, x_), first), "the same address" + form + " gives another reading");
      for (Index i = 0; i < rows_; ++i)
        require(!differs(eval_with(words + std::to_string(i) + form, x_.middleRows(i, 1)), first.middleRows(i, 1)),
                "row " + std::to_string(i) + " alone, with its FIRSTROW" + form + ", is another reading");
    }
    // Of 2^33 + 1 and 1 the lower 32 bits are the same.
    const std::vector<std::string> others{" addr 2 2 0 0 0", " addr 1 3 0 0 0",          " addr 1 2 1 0 0",
                                          " addr 1 2 0 1 0", " addr 8589934593 2 0 0 0", " addr 1 8589934594 0 0 0"};
    const double visible = 10.0 * kRounding * (1.0 + static_cast<double>(first.cwiseAbs().maxCoeff()));
    if (noise_.minCoeff() < visible && !differs(eval_with(others[0], x_), first))
      throw NotObserved{"readings repeat; without noise another address cannot be told from them"};
    const Matrix<float> without = eval(x_);
    require(differs(eval(x_), without), "without an address the same noise comes again");
    for (const std::string& other : others)
      require(differs(eval_with(other, x_), first), "eval with" + other + " gives the reading of" + words + "0");
    return "";
  }
  std::string checksum() {
    if (!talk_.said.can.crc) throw NotObserved{"the device has no checksums (cap crc)"};
    const Matrix<float> clean = read(a_, x_);
    // The line is right but for its checksum, of which one digit is changed.
    for (const std::size_t from_end : {5U, 2U}) {
      const std::uint32_t n = talk_.next_number();
      std::string line = talk_.request(n, "ready");
      change_digit(line[line.size() - from_end]);
      refuse_damaged(line, n, "a line with a wrong checksum");
    }
    const std::uint32_t n = talk_.next_number();
    refuse_damaged(std::to_string(n) + " ready\n", n, "a line without a checksum");
    damaged_row();
    if (talk_.said.can.f32le) damaged_payloads();
    require_same(eval(x_), clean, "after damaged requests");
    return "";
  }
  static void change_digit(char& digit) { digit = digit == '0' ? '1' : '0'; }
  void refuse_damaged(const std::string& bytes, std::uint32_t number, const std::string& what) {
    const Reply reply = talk_.send_raw(bytes, number);
    require(reply.refused("retry"), what + " was answered by " + reply.words() + " instead of error retry");
  }
  // It ends its eval: the rows behind it are dropped, and nothing is said about that eval any more.
  void damaged_row() {
    const std::uint32_t n = talk_.next_number();
    std::string bytes = talk_.request(n, "eval " + std::to_string(rows_), &x_);
    const std::size_t row = bytes.find('\n') + 1;
    change_digit(bytes[bytes.find('\n', row) - 1]);
    refuse_damaged(bytes, n, "an eval with a damaged row");
    static_cast<void>(eval(x_));
    require(talk_.answered_late() != n, "an eval was still under way after its damaged row");
  }
  void damaged_payloads() {
    const auto refuse = [&](const std::string& verb, const Matrix<float>& values) {
      const std::uint32_t n = talk_.next_number();
      std::string bytes = talk_.request(n, verb, &values);
      // The last bit of the last value, before the checksum.
      bytes[bytes.size() - 8] = static_cast<char>(bytes[bytes.size() - 8] ^ 1);
      refuse_damaged(bytes, n, "\"" + verb + "\" with a damaged payload");
    };
    if (talk_.said.parameters > 0) refuse("set 0 " + std::to_string(a_.cols()) + " f32le", a_);
    refuse("eval " + std::to_string(rows_) + " f32le", x_);
  }
  std::string safe_midway() {
    set(a_);
    safe_between_rows();
    require(become_ready().end == Reply::End::ok, "ready is refused");
    set(a_);
    const std::uint32_t n = talk_.next_number(), m = talk_.next_number();
    const Reply under_way = talk_.send_raw(talk_.request(n, "eval " + std::to_string(rows_), &x_) + talk_.request(m, "safe"), n);
    require(under_way.end == Reply::End::ok || under_way.refused("retry"), "the eval was answered by " + under_way.words());
    const Reply reply = talk_.await(m, 0);
    require(reply.end == Reply::End::ok, "safe was answered by " + reply.words());
    const Reply after = talk_.ask("eval " + std::to_string(rows_), &x_);
    require(after.refused("unready"), "eval after safe was answered by " + after.words() + " instead of error unready");
    return under_way.end == Reply::End::ok ? "the evaluation had ended before" : "";
  }
  void safe_between_rows() {
    const std::uint32_t n = talk_.next_number(), m = talk_.next_number();
    const Reply under_way = talk_.send_raw(talk_.request(n, "eval 1") + talk_.request(m, "safe"), n);
    require(under_way.refused("retry"), "an eval whose row had not come was answered by " + under_way.words() + " instead of error retry");
    const Reply reply = talk_.await(m, 0);
    require(reply.end == Reply::End::ok, "safe while a row was missing was answered by " + reply.words());
  }
  std::string safe_values() {
    require(become_ready().end == Reply::End::ok, "ready is refused");
    static_cast<void>(read(a_, x_));
    set(b_);
    const Reply reply = talk_.ask("safe");
    require(reply.end == Reply::End::ok, "safe was answered by " + reply.words());
    const double most = talk_.said.times.safe_ms + talk_.said.times.answer_ms;
    require(reply.ms <= most, "safe took " + brief(reply.ms) + " ms, declared is " + number_text(talk_.said.times.safe_ms));
    require_values(get(), safe(), "after safe");
    require(become_ready().end == Reply::End::ok, "ready is refused");
    static_cast<void>(eval(Matrix<float>(0, talk_.said.inputs)));
    require_values(get(), safe(), "after safe, ready and eval 0, what was staged before");
    return "in " + brief(reply.ms) + " ms";
  }
  std::string silence() {
    const Reply ready = become_ready();
    require(ready.end == Reply::End::ok, "ready after safe was answered by " + ready.words());
    const double bite_s = talk_.said.times.watchdog_ms / 1000.0;
    static_cast<void>(read(a_, x_));
    if (bite_s <= 0.0) throw NotObserved{"no watchdog is declared (time watchdog_ms)"};
    if (bite_s > options_.silence_s)
      throw NotObserved{"not asked for: a watchdog of " + number_text(bite_s) + " s (--silence " + number_text(std::ceil(bite_s)) + ")"};
    stay_awake(bite_s);
    // In the middle of a request: rows that come afterwards must not be read at the safe values as if nothing had happened.
    const std::uint32_t n = talk_.next_number();
    const std::string bytes = talk_.request(n, "eval " + std::to_string(rows_), &x_);
    const std::size_t header = bytes.find('\n') + 1;
    talk_.send_only(std::string_view(bytes).substr(0, header));
    talk_.sleep(Microseconds(static_cast<std::int64_t>((bite_s + talk_.said.times.safe_ms / 1000.0 + 0.2) * 1e6)));
    const Reply cut = talk_.send_raw(bytes.substr(header), n);
    require(cut.refused("unready"),
            "an eval whose rows came after the silence was answered by " + cut.words() + " instead of error unready");
    const Reply reply = talk_.ask("eval " + std::to_string(rows_), &x_);
    require(reply.refused("unready"), "eval after silence was answered by " + reply.words() + " instead of error unready");
    if (talk_.said.can.get) require_values(get(), safe(), "after silence");
    require(become_ready().end == Reply::End::ok, "ready after the watchdog is refused");
    return "after " + number_text(bite_s) + " s";
  }
  // Not before its time. Where the machine is busy more may pass than was asked for: then nothing can be said.
  void stay_awake(double bite_s) {
    const Microseconds begun = talk_.now();
    talk_.sleep(Microseconds(static_cast<std::int64_t>(0.6e6 * bite_s)));
    const Reply reply = talk_.ask("eval " + std::to_string(rows_), &x_);
    const double passed_s = std::chrono::duration<double>(talk_.now() - begun).count();
    if (passed_s < 0.9 * bite_s)
      require(reply.end == Reply::End::ok,
              "eval after " + brief(passed_s) + " s, before the watchdog's time, was answered by " + reply.words());
    else if (reply.refused("unready"))
      require(become_ready().end == Reply::End::ok, "ready is refused");
  }
  std::string drift() {
    if (options_.drift_s <= 0.0) throw NotObserved{"not asked for (--drift SECONDS)"};
    const Matrix<float> first = read(a_, x_);
    const Microseconds until = talk_.now() + Microseconds(static_cast<std::int64_t>(options_.drift_s * 1e6));
    double most = 0.0;
    while (talk_.now() < until) {
      talk_.sleep(std::min<Microseconds>(Milliseconds(500), until - talk_.now()));
      most = std::max(most, static_cast<double>((eval(x_) - first).cwiseAbs().maxCoeff()));
    }
    return "readings moved by at most " + number_text(most) + ", noise " + number_text(noise_.maxCoeff());
  }
  std::string growth() {
    const auto pages = [this] {
      std::ifstream file("/proc/" + std::to_string(talk_.process()) + "/statm");
      long total = 0, resident = 0;
      file >> total >> resident;
      return resident;
    };
    const Matrix<float> x = x_.topRows(1);
    set(a_);
    const auto many = [&](Index calls) {
      for (Index i = 0; i < calls; ++i) static_cast<void>(eval(x));
    };
    // Allocators keep what they once had, caches fill, and a sanitizer holds back what was freed: growth that ends is no leak. A leak
    // grows in every window.
    const Index window = std::max<Index>(1, 3 * options_.calls / 8);
    const long allowed = std::max<long>(16, window / 8);  // pages of 4 KiB: half a KiB an evaluation
    many(options_.calls - 2 * window);
    if (talk_.process() <= 0 || pages() <= 0) {
      many(2 * window);
      throw NotObserved{"memory can be seen of programs only (exec:); all calls were answered"};
    }
    constexpr int kFewest = 2, kMost = 8;
    for (int windows = 1;; ++windows) {
      const long before = pages();
      many(window);
      const long grown = pages() - before;
      if (windows >= kFewest && grown <= allowed) break;
      require(windows < kMost, "it grew by " + std::to_string(grown * 4) + " KiB in the last " + std::to_string(window) + " of " +
                                   std::to_string(options_.calls + (kMost - kFewest) * window) + " evaluations and did not stop growing");
    }
    return "";
  }
  std::string hello_when_ready() {
    const Matrix<float> one = x_.topRows(1);
    static_cast<void>(read(b_, x_));
    if (talk_.said.can.store > 0) load(0, one);
    const Reply reply = talk_.hello(options_.hello);
    require(reply.end == Reply::End::ok, "answered by " + reply.words());
    const Reply idle = talk_.ask("eval 1", &one);
    require(idle.refused("unready"), "eval behind it was answered by " + idle.words() + " instead of error unready");
    if (talk_.said.can.get) require_values(get(), safe(), "after hello");
    require(become_ready().end == Reply::End::ok, "ready is refused");
    if (talk_.said.can.store == 0) return "";
    const Reply kept = talk_.ask("eval 1 at 0");
    require(kept.refused("range"), "eval 1 at 0 behind it, where nothing is kept any more, was answered by " + kept.words());
    return "";
  }
  std::string restart() {
    const DeviceDescription before = talk_.said;
    talk_.close();
    talk_.start();
    const Reply reply = talk_.hello(options_.hello);
    require(reply.end == Reply::End::ok, "answered by " + reply.words());
    require(before.parameters == talk_.said.parameters && before.inputs == talk_.said.inputs, "says another shape");
    require(become_ready().end == Reply::End::ok, "ready is refused");
    return "after " + brief(reply.ms) + " ms";
  }
  // What the kernel does to the streams of a host that is killed.
  enum class HostEnd { at_rest, between_rows, in_evaluation };
  std::string end_of_stream(HostEnd when) {
    if (options_.serial) throw NotObserved{"a serial line has no end: a watchdog is what such a device needs (time watchdog_ms)"};
    static_cast<void>(read(a_, x_));
    set(b_);
    const bool program = talk_.process() > 0;
    double ms = 0.0;
    std::string words;
    if (when != HostEnd::at_rest) words = talk_.request(talk_.next_number(), "eval " + std::to_string(rows_), &x_);
    if (when == HostEnd::between_rows) words.resize(words.rfind('\n', words.size() - 2) + 1);
    // In the middle of what it takes, or of the rows: by then the device has read what came.
    const double busy_ms = talk_.said.times.set_ms + talk_.said.times.row_ms * static_cast<double>(rows_);
    const double pause_ms = when == HostEnd::in_evaluation  ? std::min(busy_ms / 2.0, kLongestPause_ms)
                            : when == HostEnd::between_rows ? kRowsRead_ms
                                                            : 0.0;
    const double limit_ms = static_cast<double>(talk_.ending_limit().count());
    const std::string ending = talk_.disappear(words, Microseconds(static_cast<std::int64_t>(1000.0 * pause_ms)), ms);
    std::string detail;
    if (program) {
      start_again();
      require(ending == "exit code 0" && ms <= limit_ms,
              "the program must end by itself, with exit code 0, when its input has ended, within safe_ms + " +
                  std::to_string(kEnding.count()) + " ms; got " +
                  (ms > limit_ms    ? "no end before it was sent TERM"
                   : ending.empty() ? "no end"
                                    : ending) +
                  " after " + brief(ms) + " ms");
      detail = "it ended by itself after " + brief(ms) + " ms; its parameters cannot be seen any more";
    } else {
      talk_.sleep(std::max(Milliseconds(200), of_whole_ms(talk_.said.times.safe_ms)));
      detail = look_before_hello();
    }
    return detail;
  }
  /// A server that goes on shows its state to the next host, before hello has made it safe anyway.
  std::string look_before_hello() {
    const DeviceDescription before = talk_.said;
    talk_.start();
    if (!before.can.get) {
      start_again();
      throw NotObserved{"the device cannot read back (cap get)"};
    }
    // A line may have 255 bytes before hello, whatever it allows later: 8 numbers of at most 16 characters.
    std::vector<float> found;
    bool seen = true;
    for (Index first = 0; seen && first < before.parameters; first += 8) {
      const Index part = std::min<Index>(8, before.parameters - first);
      const Reply reply = talk_.ask("get " + std::to_string(first) + " " + std::to_string(part));
      seen = reply.end == Reply::End::ok && isize(reply.values.size()) == part;
      found.insert(found.end(), reply.values.begin(), reply.values.end());
    }
    start_again();
    if (!seen) throw NotObserved{"it shows no parameters before hello"};
    require_values(found, safe(), "after the end of the stream");
    return "";
  }
  std::string farewell() {
    static_cast<void>(read(a_, x_));
    const Reply reply = talk_.ask("bye");
    require(reply.end == Reply::End::ok, "answered by " + reply.words() + " instead of ok");
    return "";
  }

  CheckOptions options_;
  Conversation talk_;
  std::function<void(const CheckStep&)> on_step_;
  std::vector<CheckStep> steps_;
  std::string out_of_reach_;  // why nothing can be asked any more
  bool start_over_ = false, was_ready_ = false;
  int stalls_ = 0;  // steps
  Index rows_ = 1;
  Matrix<float> a_, b_, x_;
  SlewPath slew_;
  Eigen::VectorXd noise_;  // of each output, as declared, then as measured
};

}  // namespace

const char* to_string(CheckStatus status) noexcept {
  switch (status) {
    case CheckStatus::passed:
      return "ok";
    case CheckStatus::failed:
      return "FAILED";
    case CheckStatus::not_observed:
      return "not observed";
    case CheckStatus::skipped:
      return "skipped";
    case CheckStatus::not_reached:
      return "not reached";
  }
  return "";
}

std::vector<CheckStep> check_device(const DeviceAddress& address, const CheckOptions& options, Clock& clock,
                                    const std::function<void(const CheckStep&)>& on_step) {
  CheckOptions full = options;
  full.serial = full.serial || address.kind == TransportKind::serial;
  return check_device([&address] { return open_transport(address, Milliseconds(5000)); }, full, clock, on_step);
}

std::vector<CheckStep> check_device(const DeviceClient::Open& open, const CheckOptions& options, Clock& clock,
                                    const std::function<void(const CheckStep&)>& on_step) {
  return Checker(open, options, clock, on_step).run();
}

}  // namespace ffzero
