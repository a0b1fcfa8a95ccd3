// What a test says about an error: its type and what its text must contain.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "axlstm/core/error.h"

namespace axlstm::test {

/// Expects `call` to throw `Expected`, exactly that type, with every one of `parts` in its text.
template <typename Expected, typename Call>
void expect_error_of(Call&& call, std::initializer_list<std::string> parts) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(typeid(error), typeid(Expected)) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "'" << error.what() << "' lacks '" << part << "'";
    }
    return;
  }
  ADD_FAILURE() << "no error; expected: " << *parts.begin();
}

template <typename Call>
void expect_error(Call&& call, std::initializer_list<std::string> parts) {
  expect_error_of<Error>(call, parts);
}

template <typename Call>
void expect_usage_error(Call&& call, std::initializer_list<std::string> parts) {
  expect_error_of<UsageError>(call, parts);
}

}  // namespace axlstm::test
