// Names and numbers of what a program registers.
// SPDX-License-Identifier: MIT
#include "ffzero/base/registry.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "support/expect_error.hpp"

namespace ffzero::test {
namespace {

using Made = std::function<double(const NamedNumbers&)>;
using Things = Registry<Made>;

Things::Entry entry(const std::string& name) {
  return {.name = name, .doc = "Twice a number.", .numbers = {{"x", 1.5}}, .make = [](const NamedNumbers& n) { return 2.0 * n.at("x"); }};
}

TEST(Registry, MakesWhatWasAddedByName) {
  Things things("kind.of", {entry("first")});
  things.add(entry("second_2"));
  EXPECT_EQ(things.names(), (std::vector<std::string>{"first", "second_2"}));
  EXPECT_EQ(things.built_in(), std::vector<std::string>{"first"});
  EXPECT_EQ(things.added(), std::vector<std::string>{"second_2"});
  EXPECT_EQ(things.at("second_2").make(things.numbers("second_2", {})), 3.0);
  EXPECT_EQ(things.at("second_2").make(things.numbers("second_2", {{"x", 4.0}})), 8.0);
}

TEST(Registry, RefusesNamesAndNumbersInOneLine) {
  Things things("kind.of", {entry("first")});
  EXPECT_EQ(message_of<ConfigError>([&] { things.add(entry("first")); }),
            "kind.of: must have another name than those that there are; got first; choose another one");
  for (const char* name : {"", "auto", "Upper", "two words", "1st", "a-b", "a\nb"})
    EXPECT_THROW(things.add(entry(name)), ConfigError) << name;
  EXPECT_EQ(message_of<ConfigError>([&] { static_cast<void>(things.at("frist")); }),
            "kind.of: must be one of first; got frist; did you mean first?");
  EXPECT_EQ(message_of<ConfigError>([&] {
              static_cast<void>(things.numbers("first", {{"y", 1.0}}));
            }),
            "kind.of = \"first\": has the numbers x; got y; did you mean x?");
  EXPECT_THROW(static_cast<void>(things.numbers("first", {{"x", std::numeric_limits<double>::infinity()}})), ConfigError);
}

TEST(Registry, ReadsNumbersByName) {
  EXPECT_EQ(parse_numbers("", "here"), NamedNumbers());
  EXPECT_EQ(parse_numbers(" a=1,b_2 = -2.5e-3 ", "here"), (NamedNumbers{{"a", 1.0}, {"b_2", -2.5e-3}}));
  for (const char* text : {"a", "a=", "=1", "a=1 b=2", "a=x", "a=nan", "a=1e999", "a=1,,b=2", ","})
    EXPECT_THROW(static_cast<void>(parse_numbers(text, "here")), ConfigError) << text;
  EXPECT_EQ(message_of<ConfigError>([] { static_cast<void>(parse_numbers("a=1,a=2", "here")); }),
            "here: must name each number once; got a; drop one of them");
}

TEST(Registry, ServesSeveralThreads) {
  Things things("kind.of", {entry("first")});
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        things.add(entry("of_" + std::to_string(t) + "_" + std::to_string(i)));
        wrong += things.at("first").make(things.numbers("first", {})) == 3.0 ? 0 : 1;
      }
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(things.added().size(), 200U);
}

}  // namespace
}  // namespace ffzero::test
