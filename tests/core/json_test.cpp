#include "../src/core/json.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace axlstm {
namespace {

using nlohmann::json;

std::string nested(int levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(ParseJson, OrdinaryJsonPasses) {
  EXPECT_EQ(parse_json("{\"a\": [1, {\"b\": []}]}", "x.json"), (json{{"a", {1, {{"b", json::array()}}}}}));
  EXPECT_NO_THROW(parse_json(nested(100), "x.json"));
}

TEST(ParseJson, WhatIsNoJsonNamesItsSourceAndPlace) {
  for (const char* text : {"", "{", "[1, 2", "nonsense", "[1] [2]", "\"\xff\""})
    test::expect_error([&] { parse_json(text, "x.json"); }, {"x.json: not valid JSON (", "parse error at line 1"});
  test::expect_error([&] { parse_json("{", "x.json", "is no list"); }, {"x.json: is no list ("});
}

TEST(ParseJson, DeepJsonIsRefused) {
  for (const std::string& text : {nested(101), std::string(100000, '['), "[\"\\\"[\", " + nested(100) + "]"})
    test::expect_error([&] { parse_json(text, "x.json"); }, {"x.json", "more than 100 levels"});
}

TEST(ParseJson, BracketsInTextsAreNoLevels) {
  EXPECT_NO_THROW(parse_json("{\"a\": \"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"}", "x"));
}

TEST(ParseJson, WhatIsClosedNoLongerCounts) {
  std::string list = "[";
  for (int n = 0; n < 1000; ++n) list += "[{\"a\": []}], ";
  EXPECT_NO_THROW(parse_json(list + "0]", "x"));
}

TEST(ParseJson, ACallbackDropsParts) {
  const auto without_b = [](int depth, json::parse_event_t event, json& value) {
    return event != json::parse_event_t::key || depth != 1 || value != "b";
  };
  EXPECT_EQ(parse_json("{\"a\": 1, \"b\": 2}", "x", "no JSON", without_b), (json{{"a", 1}}));
}

TEST(TryParseJson, GivesNothingForWhatIsNone) {
  EXPECT_EQ(try_parse_json("[1]"), json{1});
  EXPECT_FALSE(try_parse_json("[1"));
  EXPECT_FALSE(try_parse_json(nested(101)));
}

}  // namespace
}  // namespace axlstm
