// Compares the whole text of an error: place, requirement, value found, remedy.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero::test {

/// The message of the `Expected` that `action` throws; fails the test if it throws anything else or nothing.
template <class Expected, class Action>
std::string message_of(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const Expected& e) {
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another type of exception: " << e.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace ffzero::test
