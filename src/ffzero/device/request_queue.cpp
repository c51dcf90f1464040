// Ask and tell.
// SPDX-License-Identifier: MIT
#include "ffzero/device/request_queue.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

constexpr const char* kPlace = "request";

std::string place_of(std::uint64_t id) { return std::string(kPlace) + " " + std::to_string(id); }

std::string size_of(const Matrix<float>& y) { return std::to_string(y.rows()) + " x " + std::to_string(y.cols()); }

}  // namespace

void RequestQueue::require_open_end() const {
  if (!closed_.empty()) throw DeviceError(DeviceFailure::disconnected, kPlace, "must be answered", closed_);
}

void RequestQueue::read(std::size_t device, const CallAddress& first, std::span<const std::span<const float>> thetas,
                        const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys) {
  std::unique_lock lock(mutex_);
  require_open_end();
  last_ = first;
  std::vector<std::uint64_t> asked(thetas.size());
  std::vector<bool> known(thetas.size());
  for (std::size_t i = 0; i < thetas.size(); ++i) {
    CallAddress at = first;
    at.key.number += i;
    if (const auto kept = kept_.answers.find(at); kept != kept_.answers.end()) {
      if (kept->second.rows() != ys[i].rows() || kept->second.cols() != ys[i].cols())
        throw DataError("session", "a kept answer must be " + size_of(ys[i]), size_of(kept->second), "the file is damaged");
      ys[i] = kept->second;
      known[i] = true;
      continue;
    }
    asked[i] = kept_.next++;
    Open& open = open_[asked[i]];
    open.request = {.id = asked[i], .device = device, .theta = {thetas[i].begin(), thetas[i].end()}, .x = x};
    open.at = at;
    open.outputs = ys[i].cols();
  }
  changed_.notify_all();
  const auto answered = [&] {
    return std::all_of(open_.begin(), open_.end(), [](const auto& entry) { return entry.second.answer.has_value(); });
  };
  changed_.wait(lock, [&] { return !closed_.empty() || answered(); });
  if (!closed_.empty()) {
    open_.clear();
    require_open_end();
  }
  for (std::size_t i = 0; i < thetas.size(); ++i)
    if (!known[i]) ys[i] = std::move(*open_.at(asked[i]).answer);
  open_.clear();
}

void RequestQueue::mark() {
  const std::lock_guard lock(mutex_);
  std::erase_if(kept_.answers, [&](const auto& entry) {
    const CallAddress& at = entry.first;
    return !at.lasting && !(at.key.stream == last_.key.stream && at.key.step == last_.key.step);
  });
  std::erase_if(told_, [&](const auto& entry) { return !kept_.answers.contains(entry.second); });
}

void RequestQueue::finish() {
  const std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

void RequestQueue::close(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (closed_.empty()) closed_ = why.empty() ? "a queue that was closed" : why;
  changed_.notify_all();
}

std::optional<RequestQueue::Request> RequestQueue::ask(double seconds) {
  std::unique_lock lock(mutex_);
  const auto free = [&] { return std::find_if(open_.begin(), open_.end(), [](const auto& entry) { return !entry.second.taken; }); };
  const auto ready = [&] { return finished_ || !closed_.empty() || free() != open_.end(); };
  if (seconds < 0.0)
    changed_.wait(lock, ready);
  else
    changed_.wait_for(lock, std::chrono::duration<double>(std::min(seconds, 1e9)), ready);
  const auto found = free();
  if (found == open_.end() || !closed_.empty()) return std::nullopt;
  found->second.taken = true;
  return found->second.request;
}

void RequestQueue::tell(std::uint64_t id, const Matrix<float>& y) {
  const std::lock_guard lock(mutex_);
  if (id >= kept_.next) throw UsageError(place_of(id), "must have been asked for", "a number that was not");
  const auto found = open_.find(id);
  const auto differs = [&](const Matrix<float>& before) { return before.rows() != y.rows() || before.cols() != y.cols() || before != y; };
  const auto refuse = [&] { throw UsageError(place_of(id), "has been answered already", "another answer", "answer each request once"); };
  if (found == open_.end()) {
    // Training has gone on. What is left to compare with is what has been kept.
    if (const auto told = told_.find(id); told != told_.end() && differs(kept_.answers.at(told->second))) refuse();
    return;
  }
  Open& open = found->second;
  if (open.answer) {
    if (differs(*open.answer)) refuse();
    return;
  }
  if (y.rows() != open.request.x.rows() || y.cols() != open.outputs)
    throw DataError(place_of(id), "the answer must be " + std::to_string(open.request.x.rows()) + " x " + std::to_string(open.outputs),
                    size_of(y));
  if (!y.allFinite()) throw DataError(place_of(id), "readings must be finite", "one that is not", "tell that the request has failed");
  open.answer = y;
  open.taken = true;
  kept_.answers[open.at] = y;
  told_[id] = open.at;
  changed_.notify_all();
}

void RequestQueue::fail(std::uint64_t id, bool retry, const std::string& why) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(id);
  if (id >= kept_.next) throw UsageError(place_of(id), "must have been asked for", "a number that was not");
  if (found == open_.end() || found->second.answer) return;
  if (retry)
    found->second.taken = false;
  else if (closed_.empty())
    closed_ = why.empty() ? "a reading that failed" : why;
  changed_.notify_all();
}

bool RequestQueue::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_ || !closed_.empty();
}

std::size_t RequestQueue::outstanding() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(open_.begin(), open_.end(), [](const auto& entry) { return entry.second.taken && !entry.second.answer; }));
}

RequestQueue::Kept RequestQueue::kept() const {
  const std::lock_guard lock(mutex_);
  return kept_;
}

}  // namespace ffzero
