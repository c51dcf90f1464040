// What has to be alike before several ranks train one run.
// SPDX-License-Identifier: MIT
#include "ffzero/run/ranks.hpp"

#include <fmt/format.h>

#include <sstream>

#include "ffzero/base/digest.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

namespace {

constexpr const char* kRemedy = "train it with one process, or change the key (docs/scaling.md)";

template <class T>
std::uint64_t mixed(std::uint64_t digest, std::span<const T> values) {
  return digest_of_bytes(std::as_bytes(values), digest);
}

std::uint64_t digest_of(const Dataset& data, std::uint64_t digest) {
  for (Index i = 0; i < data.size(); ++i) digest = data.is_bytes() ? mixed(digest, data.bytes(i)) : mixed(digest, data.values(i));
  return mixed(mixed(mixed(digest, data.labels()), data.targets()), data.weights());
}

std::string digest_of(const Splits& splits) {
  std::uint64_t digest = 0;
  for (const Dataset* data : {&splits.train, &splits.validation, &splits.test}) digest = digest_of(*data, digest + 1);
  return fmt::format("{} samples, digest {:016x}", splits.train.size(), digest);
}

// Results depend neither on the threads nor on where the data lie.
std::string settings_of(const Config& config) {
  std::istringstream lines(config.to_toml());
  std::string settings;
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("threads =") && !line.starts_with("dir =")) settings += line + "\n";
  return settings;
}

// Settings are many lines: of two that differ, the first line that does.
std::pair<std::string, std::string> first_difference(const std::string& a, const std::string& b) {
  std::istringstream left(a), right(b);
  std::string x, y;
  while (true) {
    const bool more_left = static_cast<bool>(std::getline(left, x)), more_right = static_cast<bool>(std::getline(right, y));
    if (!more_left) x = "nothing more";
    if (!more_right) y = "nothing more";
    if (x != y || (!more_left && !more_right)) return {x, y};
  }
}

}  // namespace

void require_rank_settings(const Config& config) {
  const auto refuse = [&](const std::string& key, const std::string& requirement, const std::string& value) {
    throw ConfigError(fmt::format("{}: {}", config.values().place_of(key), key), requirement, value, kRemedy);
  };
  const Values& v = config.values();
  if (v.is("model.kind", "device")) refuse("model.kind", "several ranks train what each of them computes itself", "\"device\"");
  const Index layers = config.layer_count();
  for (Index i = 0; i < layers; ++i) {
    const Values own = config.layer_values(i);
    const std::string estimator = own.word("gradient.estimator");
    if (estimator != "directional" && estimator != "activity")
      refuse("gradient.estimator", "several ranks share out \"directional\" and \"activity\"", "\"" + estimator + "\"");
    if (own.is("gradient.distribution", "shifted") || own.is("gradient.distribution", "one_sided"))
      refuse("gradient.distribution", "several ranks share out \"directional\" and \"activity\"",
             "\"" + own.word("gradient.distribution") + "\"");
    if (own.integer("gradient.importance_samples") > 0)
      refuse("gradient.importance_samples", "several ranks do not exchange the slopes that samples are drawn by",
             std::to_string(own.integer("gradient.importance_samples")));
    if (const std::string map = own.word("model.map"); map.starts_with("crossbar"))
      refuse("model.map", "several ranks share out maps that answer each of them alike", "\"" + map + "\"");
    for (const char* name : {"read_noise", "write_noise", "drift_rms", "fail", "adc_bits", "dac_bits"})
      if (const std::string key = std::string("model.imperfect.") + name; own.number(key) > 0.0)
        refuse(key, "several ranks share out maps that answer each of them alike", fmt::format("{:g}", own.number(key)));
  }
  if (!v.is("model.kind", "photonic")) return;
  for (const char* name : {"read_noise", "drift_rms", "adc_bits", "dac_bits"})
    if (const std::string key = std::string("model.mesh.chip.") + name; v.number(key) > 0.0)
      refuse(key, "several ranks share out maps that answer each of them alike", fmt::format("{:g}", v.number(key)));
  if (!v.is("model.mesh.linear_head", "none"))
    refuse("model.mesh.linear_head", "several ranks do not exchange the readings that a linear head learns from",
           "\"" + v.word("model.mesh.linear_head") + "\"");
}

RankFacts rank_facts(const std::string& version, const Config& config, const Splits& splits, const TrainerState& begin) {
  std::uint64_t arrays = 0;
  for (const auto& [name, array] : begin.arrays) {
    const auto values = array.to<double>();
    arrays = mixed(arrays, std::span<const double>(values));
  }
  return {{"version", version},
          {"arithmetic", arithmetic_description()},
          {"settings", settings_of(config)},
          {"data", digest_of(splits)},
          {"state", fmt::format("block {}, epoch {}, step {}, digest {:016x}", begin.block, begin.epoch, begin.step, arrays)}};
}

void require_same_facts(Exchange& ranks, const RankFacts& own) {
  for (const auto& [name, text] : own) {
    const std::vector<std::string> all = ranks.gather_texts(text);
    for (std::size_t r = 1; r < all.size(); ++r) {
      if (all[r] == all[0]) continue;
      const auto [first, other] = first_difference(all[0], all[r]);
      throw ConfigError("ranks", fmt::format("all must have the same {}", name),
                        fmt::format("\"{}\" in rank {} and \"{}\" in rank 0", other, r, first),
                        "start the same program with the same arguments on machines of one kind");
    }
  }
}

void tell_ranks(Exchange& ranks, const std::exception& thrown) {
  if (dynamic_cast<const RankError*>(&thrown) != nullptr) return;
  const auto* error = dynamic_cast<const Error*>(&thrown);
  ranks.fail(error != nullptr ? error->kind() : ErrorKind::defect, fmt::format("rank {}: {}", ranks.rank(), thrown.what()));
}

}  // namespace ffzero
