// Points, values, noise, scaling.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/functions.hpp"

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "ffzero/base/random.hpp"

namespace ffzero {

double function1(std::span<const double, 2> x) noexcept { return std::sin(x[0]) + std::cos(x[1]); }

double function2(std::span<const double, 5> x) noexcept { return std::exp(x[0]) * std::sin(x[1]) + x[2] * std::cos(x[3]) - x[4] * x[0]; }

namespace {

constexpr Index kTrain = 10000, kTest = 2000;
constexpr double kNoise = 0.05;
// Parts of Stream::data; glyphs use others.
constexpr std::uint32_t kPartFunction1 = 101, kPartFunction2 = 102;
enum Step : std::uint64_t { points = 0, noise = 1 };

void add_noise(std::vector<double>& y, const RandomStream& stream) {
  const double n = static_cast<double>(y.size());
  const double mean = std::accumulate(y.begin(), y.end(), 0.0) / n;
  const double squares = std::accumulate(y.begin(), y.end(), 0.0, [mean](double sum, double v) { return sum + (v - mean) * (v - mean); });
  const double amplitude = kNoise * std::sqrt(squares / n);
  std::vector<double> normal(y.size());
  stream.fill_normal(normal);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += amplitude * normal[i];
}

Dataset split(const DatasetInfo& info, std::span<const float> x, std::span<const double> y) {
  std::vector<float> targets;
  targets.reserve(y.size());
  for (const double value : y) targets.push_back(static_cast<float>(info.target_scale.target(value)));
  return {info, std::vector<float>(x.begin(), x.end()), std::move(targets)};
}

template <std::size_t D>
Splits make(const char* name, double (*function)(std::span<const double, D>) noexcept, const RandomStream& stream) {
  std::vector<float> x(usize(kTrain + kTest) * D);
  stream.at(Step::points).fill_uniform(std::span(x));
  for (float& v : x) v = 2.0F * v - 1.0F;
  std::vector<double> y;
  for (std::size_t i = 0; i < x.size(); i += D) {
    const std::vector<double> point(x.begin() + isize(i), x.begin() + isize(i + D));
    y.push_back(function(std::span<const double, D>(point)));
  }
  std::vector<double> train(y.begin(), y.begin() + kTrain);
  add_noise(train, stream.at(Step::noise));

  DatasetInfo info;
  info.name = name;
  info.task = Task::regression;
  info.shape = {1, 1, isize(D)};
  info.target_scale = scale_to_unit_range(train);
  const auto xs = std::span<const float>(x);
  return {
      split(info, xs.first(usize(kTrain) * D), train), {}, split(info, xs.subspan(usize(kTrain) * D), std::span(y).subspan(usize(kTrain)))};
}

}  // namespace

Splits make_function1(std::uint64_t seed) { return make<2>("function1", function1, RandomStream(seed, Stream::data, kPartFunction1)); }
Splits make_function2(std::uint64_t seed) { return make<5>("function2", function2, RandomStream(seed, Stream::data, kPartFunction2)); }

}  // namespace ffzero
