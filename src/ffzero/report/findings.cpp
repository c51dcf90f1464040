// Sentences from numbers.
// SPDX-License-Identifier: MIT
#include "ffzero/report/findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ffzero {

namespace {

constexpr int kBar = 40;
constexpr double kLikelyNoise = 0.01;

const SettingResult* cell(const std::vector<SettingResult>& results, const char* solver) {
  const auto found = std::find_if(results.begin(), results.end(), [&](const SettingResult& r) {
    return r.axes.size() == 1 && r.axes[0].first == "solver" && r.axes[0].second == solver;
  });
  return found == results.end() || !std::isfinite(found->test.median) ? nullptr : &*found;
}

std::string evaluations(double n) {
  const AxisUnit unit = evaluation_unit(n);
  return fmt::format("{:.4g} {}forward evaluations", n / unit.divisor, unit.word);
}

bool one_seed(const SettingResult& a, const SettingResult& b) { return a.test.count < 2 || b.test.count < 2; }

// One seed has no spread: differences of a hundredth are then taken for none.
bool alike(const SettingResult& a, const SettingResult& b) {
  if (one_seed(a, b)) return std::abs(a.test.median - b.test.median) < kLikelyNoise;
  return a.test.low <= b.test.high && b.test.low <= a.test.high;
}

// "ff_dd 0.93, bp_dd 0.52: +0.41"
std::string contrast(const SettingResult& a, const SettingResult& b) {
  const char* remark = one_seed(a, b) ? ", one seed" : alike(a, b) ? ", within the spread over seeds" : "";
  return fmt::format("{} {:.3f}, {} {:.3f}: {:+.3f}{}", a.axes[0].second, a.test.median, b.axes[0].second, b.test.median,
                     a.test.median - b.test.median, remark);
}

std::string verdict(const SettingResult& a, const SettingResult& b, const char* better, const char* worse, const char* same) {
  if (alike(a, b)) return same;
  return a.test.median > b.test.median ? better : worse;
}

}  // namespace

std::vector<std::string> cell_findings(const std::vector<SettingResult>& results) {
  const auto *ff_dd = cell(results, "ff_dd"), *ff_ad = cell(results, "ff_ad"), *bp_dd = cell(results, "bp_dd"),
             *bp_ad = cell(results, "bp_ad");
  if (results.size() != 4 || ff_dd == nullptr || ff_ad == nullptr || bp_dd == nullptr || bp_ad == nullptr) return {};
  std::vector<std::string> lines{
      fmt::format("Without derivatives, layer by layer (ff_dd): test {} {:.3f} after {}.",
                  ff_dd->metric == "accuracy" ? "accuracy" : metric_title(ff_dd->metric), ff_dd->test.median,
                  evaluations(ff_dd->forward_evals)),
      fmt::format("Without derivatives, local losses {} one loss for the whole network ({}).",
                  verdict(*ff_dd, *bp_dd, "beat", "lose to", "do as well as"), contrast(*ff_dd, *bp_dd)),
      fmt::format("With exact gradients, local losses {} backpropagation ({}).",
                  verdict(*ff_ad, *bp_ad, "beat", "lose to", "do as well as"), contrast(*ff_ad, *bp_ad)),
      fmt::format("Doing without derivatives costs {:.3f} with local losses and {:.3f} end to end: {}.",
                  ff_ad->test.median - ff_dd->test.median, bp_ad->test.median - bp_dd->test.median,
                  ff_ad->test.median - ff_dd->test.median < bp_ad->test.median - bp_dd->test.median
                      ? "cutting the network into layers makes it cheaper"
                      : "cutting the network into layers does not make it cheaper here"),
  };
  if (std::abs(ff_dd->forward_evals - bp_dd->forward_evals) > 0.05 * bp_dd->forward_evals)
    lines.push_back(
        fmt::format("Mind the cost: ff_dd spent {}, bp_dd {}.", evaluations(ff_dd->forward_evals), evaluations(bp_dd->forward_evals)));
  return lines;
}

std::vector<std::string> text_bars(const std::vector<SettingResult>& results) {
  std::size_t widest = 0;
  for (const auto& r : results) widest = std::max(widest, setting_title(r.axes).size());
  std::vector<std::string> lines;
  for (const auto& r : results) {
    const double value = std::isfinite(r.test.median) ? std::clamp(r.test.median, 0.0, 1.0) : 0.0;
    std::string bar;
    for (int i = 0; i < static_cast<int>(std::lround(kBar * value)); ++i) bar += "█";
    lines.push_back(std::isfinite(r.test.median) ? fmt::format("{:<{}}  {} {:.3f}", setting_title(r.axes), widest, bar, r.test.median)
                                                 : fmt::format("{:<{}}  -", setting_title(r.axes), widest));
  }
  return lines;
}

}  // namespace ffzero
