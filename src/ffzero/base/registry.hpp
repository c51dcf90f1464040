// Things that are chosen by name: those that are built in, and those that a user of the library adds.
// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"

namespace ffzero {

/// Settings of something that was registered: numbers by name.
using NamedNumbers = std::map<std::string, double>;

/// "beta = 0.9, gamma = 2": numbers by name; an empty text: none. @throws ConfigError naming `place`
[[nodiscard]] NamedNumbers parse_numbers(std::string_view text, std::string_view place);
/// The numbers of `defaults`, replaced by those given. @throws ConfigError naming `place` for a name that has no default, or a number that
/// is not finite
[[nodiscard]] NamedNumbers with_defaults(const NamedNumbers& defaults, const NamedNumbers& given, std::string_view place);
/// @throws ConfigError naming `kind` unless it is a word of small letters, digits and underscores that is not in `taken`
void require_new_name(std::string_view kind, const std::string& name, const std::vector<std::string>& taken);
/// @throws ConfigError always: there is no `kind` of this name; says what there is
[[noreturn]] void refuse_unknown(std::string_view kind, std::string_view name, const std::vector<std::string>& known);

/// One for each kind of thing. Make: the function that makes one from its numbers. Any number of threads may use it at once; what was added
/// stays for the life of the program.
template <class Make>
class Registry {
 public:
  struct Entry {
    std::string name;
    std::string doc;         ///< one sentence
    NamedNumbers numbers{};  ///< its settings with their defaults
    Make make;
  };

  /// kind: what messages call these things, the key that chooses one
  Registry(std::string kind, std::vector<Entry> built_in) : kind_(std::move(kind)), entries_(built_in.begin(), built_in.end()) {
    built_in_ = entries_.size();
  }

  /// @throws ConfigError if the name is no word or is taken
  void add(Entry entry) {
    const std::lock_guard lock(mutex_);
    require_new_name(kind_, entry.name, names_from(0));
    entries_.push_back(std::move(entry));
  }
  /// @throws ConfigError if there is none of that name
  [[nodiscard]] const Entry& at(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    for (const Entry& entry : entries_)
      if (entry.name == name) return entry;
    refuse_unknown(kind_, name, names_from(0));
  }
  /// Names in the order in which they came, those that are built in first.
  [[nodiscard]] std::vector<std::string> names() const {
    const std::lock_guard lock(mutex_);
    return names_from(0);
  }
  /// Names of what is built in.
  [[nodiscard]] std::vector<std::string> built_in() const {
    const std::lock_guard lock(mutex_);
    auto all = names_from(0);
    all.resize(built_in_);
    return all;
  }
  /// Names of what was added.
  [[nodiscard]] std::vector<std::string> added() const {
    const std::lock_guard lock(mutex_);
    return names_from(built_in_);
  }
  /// Numbers of `name`, those given in place of its defaults. @throws ConfigError for an unknown name or number
  [[nodiscard]] NamedNumbers numbers(std::string_view name, const NamedNumbers& given) const {
    return with_defaults(at(name).numbers, given, kind_ + " = \"" + std::string(name) + "\"");
  }
  [[nodiscard]] const std::string& kind() const noexcept { return kind_; }

 private:
  [[nodiscard]] std::vector<std::string> names_from(std::size_t first) const {
    std::vector<std::string> all;
    for (std::size_t i = first; i < entries_.size(); ++i) all.push_back(entries_[i].name);
    return all;
  }

  std::string kind_;
  std::deque<Entry> entries_;  // references stay valid
  std::size_t built_in_ = 0;
  mutable std::mutex mutex_;
};

}  // namespace ffzero
