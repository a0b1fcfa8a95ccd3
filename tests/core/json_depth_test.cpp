#include "axlstm/core/json_depth.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace axlstm {
namespace {

std::string nested(int levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(JsonDepth, OrdinaryJsonPasses) {
  for (const std::string& text : {std::string(), std::string("{\"a\": [1, {\"b\": []}]}"), nested(100)})
    EXPECT_NO_THROW(check_json_depth(text, "x.json")) << text;
}

TEST(JsonDepth, DeepJsonIsRefused) {
  for (const std::string& text : {nested(101), std::string(100000, '{'), "[\"\\\"[\", " + nested(100) + "]"})
    test::expect_error([&] { check_json_depth(text, "x.json"); }, {"x.json", "more than 100 levels"});
}

TEST(JsonDepth, BracketsInTextsAreNoLevels) {
  EXPECT_NO_THROW(
      check_json_depth("{\"a\": \"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"}", "x"));
}

TEST(JsonDepth, WhatIsClosedNoLongerCounts) {
  std::string list = "[";
  for (int n = 0; n < 1000; ++n) list += "[{\"a\": []}], ";
  EXPECT_NO_THROW(check_json_depth(list + "0]", "x"));
}

}  // namespace
}  // namespace axlstm
