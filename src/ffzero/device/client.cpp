// The host's side of the device protocol.
// SPDX-License-Identifier: MIT
#include "ffzero/device/client.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace ffzero {

namespace {

constexpr Microseconds kHelloAgain{1000000};
constexpr std::size_t kReadAtOnce = 1 << 16;
constexpr Index kRunGap = 4;  // unchanged parameters that are sent along rather than begin another line
constexpr std::size_t kMostRuns = 8;
constexpr Index kBinaryFrom = 8;  // fewer values are as short in text

bool same_bits(float a, float b) noexcept { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

std::string count_text(Index n, const char* what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); }

std::string ms_text(Microseconds time) { return std::to_string(time.count() / 1000) + " ms"; }

}  // namespace

/// Why a request did not end with ok.
struct DeviceClient::Interruption {
  enum class Kind { retry, range, unsupported, unready, fatal, contract, lost, stalled, died };
  Kind kind = Kind::retry;
  std::string what;   // the requirement of the message
  std::string found;  // its value
  /// The stream cannot be used any more.
  [[nodiscard]] bool stream_lost() const noexcept { return kind == Kind::lost || kind == Kind::stalled || kind == Kind::died; }
};

// --- opening ------------------------------------------------------------------------------------------------------------------------

DeviceClient::DeviceClient(std::string name, Open open_stream, const ClientOptions& options, Clock& clock)
    : place_("device " + clean_text(name)),
      open_(std::move(open_stream)),
      options_(options),
      clock_(clock),
      decoder_([this](std::string_view line) { log_.add(line); }),
      in_(kReadAtOnce) {
  open();
}

DeviceClient::DeviceClient(std::string_view address, const ClientOptions& options, Clock& clock)
    : place_("device " + clean_text(address)),
      options_(options),
      clock_(clock),
      decoder_([this](std::string_view line) { log_.add(line); }),
      in_(kReadAtOnce) {
  const DeviceAddress where = parse_device_address(address);
  if (options_.exclusive) lock_.emplace(where);
  serial_ = where.kind == TransportKind::serial;
  open_ = [where, connect = options_.connect] { return open_transport(where, connect); };
  open();
}

DeviceClient::~DeviceClient() { close(); }

void DeviceClient::open() {
  transport_ = open_();
  decoder_ = AnswerDecoder([this](std::string_view line) { log_.add(line); });
  pending_.clear();
  reading_.clear();
  out_.clear();
  sent_ = 0;
  wait_until_.reset();
  waiting_since_.reset();
  checksums_ = ready_ = known_ = false;
  try {
    say_hello();
  } catch (...) {
    transport_->close(grace());
    transport_.reset();
    throw;
  }
}

void DeviceClient::say_hello() {
  DeviceDescription found;
  Microseconds until = clock_.now() + options_.hello;
  Microseconds again = clock_.now();
  try {
    while (true) {
      if (clock_.now() >= again) {
        // On a serial line something may stand before it: an empty line ends that.
        out_ += serial_ ? "\n0 hello ffzero 1\n" : "0 hello ffzero 1\n";
        again = serial_ ? clock_.now() + kHelloAgain : until;
      }
      WireAnswer answer;
      if (!next(answer, std::min(again, until))) {
        if (clock_.now() < until) continue;
        throw Interruption{
            Interruption::Kind::stalled,
            "stalled: hello must be answered within " + ms_text(waiting_since_ ? clock_.now() - *waiting_since_ : options_.hello), ""};
      }
      if (answer.kind != WireAnswer::Kind::line || answer.number != 0) continue;
      if (answer.word == AnswerWord::ok) break;
      if (answer.word == AnswerWord::wait) {
        // It is there, and hello need not be said again.
        take_wait(answer.rest);
        again = until = *wait_until_;
        continue;
      }
      if (answer.word == AnswerWord::error)
        throw DeviceError(DeviceFailure::refused, place_, "refuses hello",
                          "\"" + clean_text(answer.rest.substr(std::min<std::size_t>(1, answer.rest.size()))) + "\"",
                          "end the host that uses it");
      found.absorb(answer.word, answer.rest, place_);
    }
  } catch (const Interruption& cause) {
    const bool died = cause.kind == Interruption::Kind::died;
    if (cause.kind == Interruption::Kind::contract) throw error_of(cause);
    throw DeviceError(died ? DeviceFailure::disconnected : DeviceFailure::timeout, place_,
                      died ? "died: the stream ended before hello was answered" : cause.what, hello_failure(cause),
                      died ? "start it by hand and look" : "check that it answers `0 hello ffzero 1` and flushes each line");
  }
  found.finish(place_);
  if (greeted_ &&
      (found.inputs != description_.inputs || found.outputs != description_.outputs || found.parameters != description_.parameters))
    throw DeviceError(
        place_, "must have the same shape after a restart",
        count_text(found.inputs, "input") + ", " + count_text(found.outputs, "output") + ", " + count_text(found.parameters, "parameter"));
  description_ = std::move(found);
  greeted_ = true;
  limits_.clear();
  if (!description_.parameter_ranges.empty()) limits_ = DeviceDescription::spread(description_.parameter_ranges, description_.parameters);
  slew_ = SlewPath(limits_, description_.times.set_ms);
  checksums_ = description_.can.crc;
  decoder_.expect_checksums(checksums_);
  quiet_since_ = clock_.now();
  wait_until_.reset();
  waiting_since_.reset();
}

std::string DeviceClient::hello_failure(const Interruption& cause) {
  log_.add_stream(transport_->take_side_output());
  std::string found = cause.found;
  if (!decoder_.unfinished().empty()) {
    found += (found.empty() ? "" : ", ") + ("half a line \"" + clean_text(decoder_.unfinished(), 60) + "\"");
  } else if (!log_.last().empty()) {
    found += (found.empty() ? "" : ", ") + ("its last words \"" + log_.last() + "\"");
  }
  return found.empty() ? "silence" : found;
}

void DeviceClient::make_ready() {
  if (!transport_) open();
  if (ready_) return;
  simple("ready");
  ready_ = true;
  known_ = false;
  slew_.start(description_.safe_values(), clock_.now());
}

void DeviceClient::ready() {
  repeatedly([this] { make_ready(); });
}

// --- sending ------------------------------------------------------------------------------------------------------------------------

DeviceClient::Pending& DeviceClient::begin(std::string_view verb, Index rows) {
  number_ = number_ == kLargestRequest ? 1 : number_ + 1;
  // Nothing was awaited until now: the silence begins here.
  if (pending_.empty()) quiet_since_ = clock_.now();
  const DeviceTimes& times = description_.times;
  const bool evaluates = verb == "eval";
  const double work = evaluates ? times.set_ms + static_cast<double>(rows) * times.row_ms : verb == "safe" ? times.safe_ms : 0.0;
  pending_.push_back({.number = number_,
                      .verb = verb,
                      .values = evaluates ? rows * description_.outputs : 0,
                      .width = description_.outputs,
                      .allowance = of_ms(times.answer_ms + work)});
  return pending_.back();
}

void DeviceClient::send_request(std::uint32_t number, std::string_view text) {
  const std::size_t begin = out_.size();
  out_ += std::to_string(number);
  out_ += ' ';
  out_ += text;
  end_line(out_, begin, checksums_);
}

void DeviceClient::send_payload(std::span<const float> values) {
  const std::size_t begin = out_.size();
  append_floats(out_, values);
  if (checksums_) append_word32(out_, crc32_of(std::string_view(out_).substr(begin)));
}

void DeviceClient::send_values(Index first, std::span<const float> values) {
  receipt_.values += isize(values.size());
  if (binary() && isize(values.size()) >= kBinaryFrom) {
    send_request(begin("set").number, "set " + std::to_string(first) + " " + std::to_string(values.size()) + " f32le");
    send_payload(values);
    return;
  }
  // Every line is a request of its own.
  while (!values.empty()) {
    const std::string head = std::to_string(begin("set").number) + " set " + std::to_string(first);
    const Index sent = append_values_line(out_, head, values, linemax(), checksums_);
    values = values.subspan(usize(sent));
    first += sent;
  }
}

void DeviceClient::send_set(std::span<const float> theta) {
  const Index count = isize(theta.size());
  if (!known_) {
    if (count > 0) {
      ++receipt_.sets;
      send_values(0, theta);
    }
  } else {
    struct Run {
      Index first, end;
    };
    std::vector<Run> runs;
    for (Index i = 0; i < count; ++i) {
      if (same_bits(theta[usize(i)], staged_[usize(i)])) continue;
      if (!runs.empty() && i - runs.back().end <= kRunGap)
        runs.back().end = i + 1;
      else
        runs.push_back({i, i + 1});
    }
    if (runs.size() > kMostRuns) runs = {{runs.front().first, runs.back().end}};
    if (!runs.empty()) ++receipt_.sets;
    for (const Run& run : runs) send_values(run.first, theta.subspan(usize(run.first), usize(run.end - run.first)));
  }
  staged_.assign(theta.begin(), theta.end());
  known_ = true;
}

void DeviceClient::send_rows(std::uint32_t number, const ConstMatrixRef<float>& x) {
  if (binary()) {
    const std::size_t begin = out_.size();
    for (Index i = 0; i < x.rows(); ++i) append_floats(out_, {x.row(i).data(), usize(x.cols())});
    if (checksums_) append_word32(out_, crc32_of(std::string_view(out_).substr(begin)));
    return;
  }
  const std::string head = std::to_string(number) + " row";
  for (Index i = 0; i < x.rows(); ++i) append_values(out_, head, {x.row(i).data(), usize(x.cols())}, linemax(), checksums_);
}

// Brings slow parameters near theta in steps that their slew allows; the last step is left to the evaluation.
void DeviceClient::approach(std::span<const float> theta) {
  slew_.approach(theta, clock_, [this](std::span<const float> between) {
    send_set(between);
    const std::uint32_t number = begin("eval").number;
    send_request(number, "eval 0");
    finish(number);
  });
}

void DeviceClient::send_piece(const DeviceJob& job, const Piece& piece) {
  approach(job.theta);
  send_set(job.theta);
  const std::uint32_t number = begin("eval", piece.rows).number;
  std::string text = "eval " + std::to_string(piece.rows);
  if (job.address && description_.can.address) {
    const ReadingAddress& a = *job.address;
    text += " addr " + std::to_string(a.stream) + " " + std::to_string(a.step) + " " + std::to_string(a.side) + " " +
            std::to_string(a.repeat) + " " + std::to_string(a.row + piece.first);
  }
  if (binary()) text += " f32le";
  send_request(number, text);
  send_rows(number, job.x.middleRows(piece.first, piece.rows));
  ++receipt_.evaluations;
}

// --- receiving ----------------------------------------------------------------------------------------------------------------------

bool DeviceClient::next(WireAnswer& answer, Microseconds deadline) {
  while (true) {
    if (decoder_.next(answer)) return true;
    const Microseconds now = clock_.now();
    if (now >= deadline) return false;
    const auto wait = std::chrono::ceil<Milliseconds>(deadline - now);
    const auto moved = transport_->exchange(std::string_view(out_).substr(sent_), in_, wait);
    if (moved.sent > 0) {
      sent_ += moved.sent;
      quiet_since_ = clock_.now();
      if (sent_ == out_.size()) {
        out_.clear();
        sent_ = 0;
      }
    }
    if (moved.side) log_.add_stream(transport_->take_side_output());
    if (moved.received > 0) {
      decoder_.feed({in_.data(), moved.received});
    } else if (moved.ended) {
      const std::string ending = transport_->ending();
      log_.add_stream(transport_->take_side_output());
      throw Interruption{Interruption::Kind::died, "died: the stream ended", ending};
    }
  }
}

std::optional<DeviceClient::Pending> DeviceClient::step() {
  while (true) {
    const auto deadline = [this] { return wait_until_.value_or(quiet_since_ + pending_.front().allowance); };
    WireAnswer answer;
    if (next(answer, deadline())) return take(answer);
    // Sending moves the deadline.
    if (clock_.now() < deadline()) continue;
    const Pending& asked = pending_.front();
    throw Interruption{Interruption::Kind::stalled,
                       "stalled: request " + std::to_string(asked.number) + " (" + std::string(asked.verb) + ") must be answered within " +
                           ms_text(wait_until_ ? clock_.now() - *waiting_since_ : asked.allowance),
                       out_.empty() ? "" : "it does not even read"};
  }
}

void DeviceClient::take_wait(std::string_view rest) {
  log_.add("wait" + std::string(rest));
  const auto ms = parse_count(next_token(rest), 24LL * 3600 * 1000);
  if (!ms) throw Interruption{Interruption::Kind::contract, "wait needs a number of milliseconds", clean_text(rest, 40)};
  const Microseconds now = clock_.now();
  if (!waiting_since_) waiting_since_ = now;
  // A device may say wait as often as it likes, but not for ever.
  wait_until_ = std::min<Microseconds>(now + Milliseconds(*ms), *waiting_since_ + options_.longest_wait);
}

void DeviceClient::take_values(const WireAnswer& answer, const Pending& asked) {
  const auto refuse = [&](const std::string& what, const std::string& found) {
    throw Interruption{Interruption::Kind::contract,
                       "request " + std::to_string(asked.number) + " (" + std::string(asked.verb) + "): " + what, found};
  };
  const std::size_t room = usize(asked.values) - reading_.size();
  if (answer.word == AnswerWord::data) {
    if (answer.payload.size() != room * sizeof(float))
      refuse("data must have " + std::to_string(room * sizeof(float)) + " bytes", std::to_string(answer.payload.size()));
    const std::size_t begin = reading_.size();
    reading_.resize(begin + room);
    read_floats(answer.payload, std::span(reading_).subspan(begin));
    return;
  }
  if (room == 0) refuse("no more rows are wanted", "\"row" + clean_text(answer.rest, 60) + "\"");
  std::size_t left = usize(asked.width) - reading_.size() % usize(asked.width);
  std::string_view rest = answer.rest;
  for (auto token = next_token(rest); !token.empty(); token = next_token(rest)) {
    const auto value = parse_number(token);
    if (!value) refuse("a row must hold numbers", "\"" + clean_text(token, 40) + "\"");
    if (left-- == 0) refuse("a row must have " + count_text(asked.width, "number"), "more");
    reading_.push_back(*value);
  }
}

std::optional<DeviceClient::Pending> DeviceClient::take(const WireAnswer& answer) {
  if (answer.kind == WireAnswer::Kind::lost)
    throw Interruption{Interruption::Kind::lost, "data of a length that nobody asked for", clean_text(answer.rest, 60)};
  if (answer.kind == WireAnswer::Kind::damaged)
    throw Interruption{binary() ? Interruption::Kind::lost : Interruption::Kind::retry, "an answer's checksum is wrong",
                       "\"" + clean_text(answer.rest, 60) + "\""};
  // Without a number it is about a line that could not be read: of whatever is under way, but not of the ping that passes over all that.
  const bool unreadable = answer.number == 0 && answer.word == AnswerWord::error && !resynchronising_;
  const auto at = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& p) { return p.number == answer.number; });
  // An earlier request's: the answers to it are void.
  if (at == pending_.end() && !unreadable) {
    if (answer.word == AnswerWord::ok || answer.word == AnswerWord::error) quiet_since_ = clock_.now();
    return std::nullopt;
  }
  const Pending asked = pending_.front();
  if (at != pending_.begin() && !unreadable)
    throw Interruption{Interruption::Kind::contract,
                       "request " + std::to_string(asked.number) + " (" + std::string(asked.verb) + ") must be answered first",
                       "an answer to " + std::to_string(answer.number)};
  if (answer.word == AnswerWord::wait) {
    take_wait(answer.rest);
    return std::nullopt;
  }
  if (answer.word == AnswerWord::row || answer.word == AnswerWord::data) {
    take_values(answer, asked);
    return std::nullopt;
  }
  if (answer.word != AnswerWord::ok && answer.word != AnswerWord::error) return std::nullopt;

  pending_.pop_front();
  quiet_since_ = clock_.now();
  wait_until_.reset();
  waiting_since_.reset();
  if (answer.word == AnswerWord::ok) {
    if (isize(reading_.size()) != asked.values)
      throw Interruption{
          Interruption::Kind::contract,
          "request " + std::to_string(asked.number) + " (" + std::string(asked.verb) + ") must bring " + count_text(asked.values, "number"),
          std::to_string(reading_.size())};
    return asked;
  }
  using Kind = Interruption::Kind;
  std::string_view rest = answer.rest;
  const std::string_view name = next_token(rest);
  const Kind kind = name == "range"         ? Kind::range
                    : name == "unsupported" ? Kind::unsupported
                    : name == "unready"     ? Kind::unready
                    : name == "fatal"       ? Kind::fatal
                                            : Kind::retry;
  throw Interruption{kind, "refuses " + std::string(asked.verb),
                     "\"" + clean_text(answer.rest.substr(std::min<std::size_t>(1, answer.rest.size()))) + "\""};
}

void DeviceClient::finish(std::uint32_t number) {
  while (true) {
    const auto ended = step();
    if (ended && ended->number == number) return;
  }
}

void DeviceClient::simple(std::string_view verb, std::string_view rest, Index values) {
  reading_.clear();
  Pending& asked = begin(verb);
  const std::uint32_t number = asked.number;
  asked.values = values;
  asked.width = std::max<Index>(values, 1);
  send_request(number, rest.empty() ? std::string(verb) : std::string(verb) + " " + std::string(rest));
  finish(number);
}

// --- failures -----------------------------------------------------------------------------------------------------------------------

DeviceError DeviceClient::error_of(const Interruption& cause) {
  using Kind = Interruption::Kind;
  std::string found = cause.found;
  if (cause.stream_lost() && !log_.last().empty()) found += (found.empty() ? "" : ", ") + ("its last words \"" + log_.last() + "\"");
  switch (cause.kind) {
    case Kind::range:
      return {DeviceFailure::refused, place_, cause.what, found, "keep parameters and inputs inside the declared ranges"};
    case Kind::unsupported:
      return {DeviceFailure::refused, place_, cause.what, found};
    case Kind::contract:
    case Kind::lost:
      return {DeviceFailure::contract, place_, cause.what, found, "run ffzero device check on it"};
    case Kind::stalled:
      return {DeviceFailure::timeout, place_, cause.what, found, "check that it flushes its answers, or let it declare a longer answer_ms"};
    case Kind::died:
      return {DeviceFailure::disconnected, place_, cause.what, found, "look at its log"};
    default:
      return {DeviceFailure::refused, place_, cause.what, found, "look at the device"};
  }
}

template <class Body>
void DeviceClient::repeatedly(Body&& body) {
  for (int attempt = 0;; ++attempt) {
    try {
      body();
      return;
    } catch (const Interruption& cause) {
      recover(cause, attempt);
    }
  }
}

void DeviceClient::recover(const Interruption& cause, int attempt) {
  using Kind = Interruption::Kind;
  const bool hopeless = cause.kind == Kind::range || cause.kind == Kind::unsupported || cause.kind == Kind::fatal;
  // A device that fell asleep in a pause of the host has not failed.
  const bool woken = cause.kind == Kind::unready && attempt == 0;
  const bool give_up = hopeless || (attempt >= options_.retries && !woken);
  known_ = false;
  reading_.clear();
  if (cause.kind == Kind::unready) ready_ = false;
  bool stream_lost = cause.stream_lost();
  if (!stream_lost && cause.kind != Kind::fatal) {
    try {
      if (!pending_.empty()) resynchronise();
      // Where slow parameters are after a failure is unknown; in the safe state they are where they were declared.
      if (slew_.slow() && ready_) simple("safe");
      if (slew_.slow()) ready_ = false;
    } catch (const Interruption&) {
      stream_lost = true;
    }
  }
  if (give_up) {
    const DeviceError error = error_of(cause);
    if (stream_lost || cause.kind == Kind::fatal) hang_up(false);
    throw error;
  }
  if (stream_lost) restart();
}

// A request that any device answers, if only by refusing it; its answer ends all that were before it.
void DeviceClient::resynchronise() {
  pending_.clear();
  reading_.clear();
  wait_until_.reset();
  waiting_since_.reset();
  quiet_since_ = clock_.now();
  // The empty line ends what a payload whose length was lost has left.
  out_ += '\n';
  const std::uint32_t ping = begin("ping").number;
  send_request(ping, "ping");
  resynchronising_ = true;
  while (!pending_.empty()) {
    try {
      static_cast<void>(step());
    } catch (const Interruption& answer) {
      // Its own refusal has taken it from the list.
      if (!answer.stream_lost()) continue;
      resynchronising_ = false;
      throw;
    }
  }
  resynchronising_ = false;
}

void DeviceClient::restart() {
  ++receipt_.restarts;
  hang_up(false);
  for (int attempt = 0;; ++attempt) {
    try {
      open();
      return;
    } catch (const DeviceError& error) {
      const bool again = error.reason() == DeviceFailure::disconnected || error.reason() == DeviceFailure::timeout;
      if (!again || attempt >= options_.retries) throw;
      clock_.sleep(grace());
    }
  }
}

Milliseconds DeviceClient::grace() const noexcept {
  return std::max(Milliseconds(200), Milliseconds(static_cast<std::int64_t>(std::ceil(description_.times.safe_ms))));
}

// Sends a request and waits for its end, whatever else is said; false if it does not come.
bool DeviceClient::ended_quietly(std::string_view verb, Milliseconds limit) {
  pending_.clear();
  reading_.clear();
  const std::uint32_t number = begin(verb).number;
  pending_.clear();
  send_request(number, verb);
  const Microseconds until = clock_.now() + limit;
  WireAnswer answer;
  while (next(answer, until))
    if (answer.kind == WireAnswer::Kind::line && answer.number == number &&
        (answer.word == AnswerWord::ok || answer.word == AnswerWord::error))
      return true;
  return false;
}

void DeviceClient::hang_up(bool farewell) noexcept {
  if (!transport_) return;
  try {
    // The safe state also comes with the end of the stream; this is for devices that do not notice one.
    if (ended_quietly("safe", grace()) && farewell) static_cast<void>(ended_quietly("bye", grace()));
  } catch (...) {
    // Died already: its end of the stream.
  }
  transport_->close(grace());
  try {
    log_.add_stream(transport_->take_side_output());
  } catch (...) {
    // No memory for a log.
  }
  transport_.reset();
  pending_.clear();
  ready_ = known_ = false;
}

void DeviceClient::close() noexcept { hang_up(true); }

// --- what users call ------------------------------------------------------------------------------------------------------------------

Index DeviceClient::depth() const noexcept {
  if (slew_.slow()) return 1;
  const Index most = description_.can.pipeline;
  return options_.pipeline > 0 ? std::min(options_.pipeline, most) : most;
}

void DeviceClient::require_job(const DeviceJob& job) const {
  const auto sizes = [](Index a, Index b) { return std::to_string(a) + " x " + std::to_string(b); };
  if (isize(job.theta.size()) != description_.parameters)
    throw ShapeError(place_, "theta must have " + count_text(description_.parameters, "value"), std::to_string(job.theta.size()));
  if (job.x.cols() != description_.inputs || job.y.rows() != job.x.rows() || job.y.cols() != description_.outputs)
    throw ShapeError(place_, "x must be B x " + std::to_string(description_.inputs) + ", y B x " + std::to_string(description_.outputs),
                     sizes(job.x.rows(), job.x.cols()) + " and " + sizes(job.y.rows(), job.y.cols()));
  for (std::size_t i = 0; i < job.theta.size(); ++i) {
    const double value = job.theta[i];
    if (!std::isfinite(value)) throw DeviceError(place_, "parameter " + std::to_string(i) + " must be finite", number_text(value));
    if (limits_.empty() || limits_[i].contains(value)) continue;
    throw DeviceError(
        place_, "parameter " + std::to_string(i) + " must lie in " + number_text(limits_[i].min) + " .. " + number_text(limits_[i].max),
        number_text(value), "keep it inside");
  }
}

std::vector<DeviceClient::Piece> DeviceClient::cut(std::span<const DeviceJob> jobs) const {
  std::vector<Piece> pieces;
  for (std::size_t job = 0; job < jobs.size(); ++job)
    for (Index first = 0; first < jobs[job].x.rows(); first += description_.can.rows)
      pieces.push_back({.job = job, .first = first, .rows = std::min(description_.can.rows, jobs[job].x.rows() - first)});
  return pieces;
}

void DeviceClient::evaluate(std::span<DeviceJob> jobs) {
  for (DeviceJob& job : jobs) {
    require_job(job);
    job.done = job.x.rows() == 0;
  }
  const std::vector<Piece> pieces = cut(jobs);
  const Microseconds begun = clock_.now();
  std::size_t sent = 0, done = 0;
  for (int attempt = 0; done < pieces.size();) {
    try {
      make_ready();
      // Both an eval and the sets before it are pending until they have ended, so that the depth is counted in pieces.
      decoder_.set_largest_payload(usize(description_.can.rows * description_.outputs) * sizeof(float));
      while (done < pieces.size()) {
        while (sent < pieces.size() && isize(sent - done) < depth()) {
          send_piece(jobs[pieces[sent].job], pieces[sent]);
          ++sent;
        }
        const auto ended = step();
        if (!ended || ended->verb != "eval") continue;
        const Piece& piece = pieces[done];
        jobs[piece.job].y.middleRows(piece.first, piece.rows) =
            Eigen::Map<const Matrix<float>>(reading_.data(), piece.rows, description_.outputs);
        reading_.clear();
        slew_.arrived(clock_.now());
        receipt_.rows += piece.rows;
        jobs[piece.job].done = piece.first + piece.rows == jobs[piece.job].x.rows();
        ++done;
        attempt = 0;
      }
    } catch (const Interruption& cause) {
      try {
        recover(cause, attempt);
      } catch (...) {
        ++receipt_.failed;
        receipt_.seconds += std::chrono::duration<double>(clock_.now() - begun).count();
        throw;
      }
      receipt_.retries += static_cast<std::int64_t>(std::max<std::size_t>(sent - done, 1));
      sent = done;
      ++attempt;
    }
  }
  receipt_.seconds += std::chrono::duration<double>(clock_.now() - begun).count();
}

void DeviceClient::evaluate(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y,
                            std::optional<ReadingAddress> address) {
  DeviceJob job{.theta = theta, .x = x, .y = y, .address = address};
  evaluate(std::span(&job, 1));
}

std::vector<float> DeviceClient::get(Index first, Index count) {
  if (!description_.can.get) throw DeviceError(DeviceFailure::refused, place_, "cannot read parameters back (cap get)");
  repeatedly([&] {
    if (!transport_) open();
    simple("get", std::to_string(first) + " " + std::to_string(count), count);
  });
  return std::exchange(reading_, {});
}

void DeviceClient::store(Index first, const ConstMatrixRef<float>& x) {
  if (first < 0 || first + x.rows() > description_.can.store)
    throw DeviceError(DeviceFailure::refused, place_, "keeps " + count_text(description_.can.store, "input") + " (cap store)",
                      std::to_string(first) + " .. " + std::to_string(first + x.rows() - 1));
  for (Index row = 0; row < x.rows(); row += description_.can.rows) {
    const Index rows = std::min(description_.can.rows, x.rows() - row);
    repeatedly([&] {
      make_ready();
      reading_.clear();
      const std::uint32_t number = begin("load").number;
      send_request(number, "load " + std::to_string(first + row) + " " + std::to_string(rows) + (binary() ? " f32le" : ""));
      send_rows(number, x.middleRows(row, rows));
      finish(number);
    });
  }
}

void DeviceClient::evaluate_stored(std::span<const float> theta, std::span<const Index> where, MatrixRef<float> y) {
  const Matrix<float> none(isize(where.size()), description_.inputs);
  require_job({.theta = theta, .x = none, .y = y});
  for (const Index position : where)
    if (position < 0 || position >= description_.can.store)
      throw DeviceError(DeviceFailure::refused, place_, "keeps " + count_text(description_.can.store, "input") + " (cap store)",
                        std::to_string(position));
  Index done = 0;
  while (done < isize(where.size())) {
    Index rows = 0;
    repeatedly([&] {
      make_ready();
      reading_.clear();
      decoder_.set_largest_payload(usize(description_.can.rows * description_.outputs) * sizeof(float));
      approach(theta);
      send_set(theta);
      // As many positions as a line holds: number, verb, count and checksum take at most 40 bytes.
      std::string list;
      for (rows = 0; done + rows < isize(where.size()) && rows < description_.can.rows; ++rows) {
        const std::string word = " " + std::to_string(where[usize(done + rows)]);
        if (rows > 0 && list.size() + word.size() + 40 > linemax()) break;
        list += word;
      }
      const std::uint32_t number = begin("eval", rows).number;
      send_request(number, "eval " + std::to_string(rows) + (binary() ? " f32le" : "") + " at" + list);
      finish(number);
    });
    y.middleRows(done, rows) = Eigen::Map<const Matrix<float>>(reading_.data(), rows, description_.outputs);
    reading_.clear();
    slew_.arrived(clock_.now());
    ++receipt_.evaluations;
    receipt_.rows += rows;
    done += rows;
  }
}

void DeviceClient::keep_alive() {
  if (!description_.can.ping || !transport_) return;
  repeatedly([this] {
    if (transport_) simple("ping");
  });
}

void DeviceClient::safe() {
  if (!transport_) return;
  repeatedly([this] {
    if (transport_) simple("safe");
  });
  ready_ = known_ = false;
}

}  // namespace ffzero
