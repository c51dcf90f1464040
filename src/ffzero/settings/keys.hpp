// Every setting of a run, with type, range, default and meaning: the one table behind config files, --set, error messages, resolved
// configs and the reference manual.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ffzero {

enum class KeyType { boolean, integer, number, word, text, texts, integers, number_or_auto, classes };

class Values;

struct KeyInfo {
  std::string name;  ///< dotted: "gradient.eps"
  KeyType type;
  nlohmann::json fallback;           ///< the value if neither preset nor user says anything
  std::vector<std::string> choices;  ///< of a word; empty: any
  double minimum, maximum;           ///< of numbers and of every entry of a list
  bool per_layer;                    ///< may stand in a [[layer]] table
  std::string doc;
  /// Empty if the key has an effect on such a run, else the reason why not.
  std::function<std::string(const Values&)> unused;
  /// What a complete configuration, as run folders hold it, means if it was written before the key existed; null: the fallback.
  nlohmann::json before = nullptr;
  /// More words that may be chosen: names that the program has registered (base/registry.hpp); empty: none.
  std::function<std::vector<std::string>()> registered = {};
};

/// A key of version 0.1 that has another name now, or words of its values that have.
struct RenamedKey {
  std::string_view before;  ///< the old name; equal to `now` where only words changed
  std::string_view now;
  std::vector<std::pair<std::string_view, std::string_view>> words;  ///< old, new
};

/// The table, in the order of the manual.
[[nodiscard]] const std::vector<KeyInfo>& keys();
/// Old names and words, which are accepted throughout 0.x.
[[nodiscard]] const std::vector<RenamedKey>& renamed_keys();
/// Of a key that may have had another name; a name that no key has is given back.
[[nodiscard]] std::string name_now(std::string_view name);
/// "control.untrained is called baseline.untrained since 0.2", or empty if neither the key nor its value has an old name.
[[nodiscard]] std::string renaming_notice(std::string_view name, const nlohmann::json& value);
/// Of the key that is called so now, or was before. @throws ConfigError naming the nearest valid key if there is none of that name.
[[nodiscard]] const KeyInfo& key_info(std::string_view name, std::string_view place);
/// The value in the table's own form (lists for lists, integers for integral numbers, words as they are spelt now).
/// @throws ConfigError for a wrong type or range.
[[nodiscard]] nlohmann::json checked_value(const KeyInfo& key, const nlohmann::json& value, std::string_view place);

/// Values of all keys: defaults, under a preset, under what the user said.
class Values {
 public:
  /// All defaults.
  Values();

  [[nodiscard]] const nlohmann::json& at(std::string_view key) const;
  [[nodiscard]] std::string word(std::string_view key) const { return at(key).get<std::string>(); }
  [[nodiscard]] std::int64_t integer(std::string_view key) const { return at(key).get<std::int64_t>(); }
  [[nodiscard]] double number(std::string_view key) const { return at(key).get<double>(); }
  [[nodiscard]] std::uint64_t seed() const { return at("seed").get<std::uint64_t>(); }
  [[nodiscard]] bool flag(std::string_view key) const { return at(key).get<bool>(); }
  [[nodiscard]] std::vector<std::int64_t> integers(std::string_view key) const { return at(key).get<std::vector<std::int64_t>>(); }
  [[nodiscard]] bool is(std::string_view key, std::string_view word_value) const { return at(key) == word_value; }

  /// Checked; `place` names the source in messages ("a.toml", "--set"). explicit_: the user said so for this run.
  void set(std::string_view key, const nlohmann::json& value, std::string_view place, bool explicit_ = true);
  /// Replaces "auto" by what it means; never counts as said by the user.
  void resolve(std::string_view key, const nlohmann::json& value) { set(key, value, "auto", is_explicit(key)); }
  [[nodiscard]] bool is_explicit(std::string_view key) const { return explicit_.contains(std::string(key)); }
  [[nodiscard]] const std::string& place_of(std::string_view key) const;

 private:
  std::map<std::string, nlohmann::json, std::less<>> values_;
  std::set<std::string> explicit_;
  std::map<std::string, std::string, std::less<>> places_;
};

/// True if single parameters are moved to one side.
[[nodiscard]] inline bool one_sided(const Values& v) {
  return v.is("gradient.estimator", "coordinate") && v.is("gradient.distribution", "one_sided");
}

}  // namespace ffzero
