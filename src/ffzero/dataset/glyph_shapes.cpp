// The pen strokes of the built-in digits: thirty-odd ways of writing ten digits, part of dataset/glyphs.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/glyph_shapes.hpp"

#include <array>

namespace ffzero {

namespace {

constexpr GlyphPoint kLift{-1, -1};

// clang-format off
constexpr GlyphPoint kZeroOval[] = {{50, 4}, {22, 18}, {10, 50}, {22, 84}, {50, 96}, {78, 82}, {90, 50}, {78, 17}, {50, 4}};
constexpr GlyphPoint kZeroNarrow[] = {{54, 4}, {34, 20}, {26, 52}, {34, 86}, {52, 96}, {70, 80}, {76, 48}, {68, 16}, {54, 4}};
constexpr GlyphPoint kZeroOverlap[] = {{70, 12}, {46, 4}, {20, 22}, {12, 56}, {24, 88}, {52, 96}, {80, 78}, {86, 44}, {72, 14}, {44, 8}, {34, 16}};
constexpr GlyphPoint kZeroSlashed[] = {{50, 4}, {24, 18}, {14, 50}, {24, 84}, {50, 96}, {76, 82}, {86, 50}, {76, 17}, {50, 4}, kLift, {76, 17}, {24, 84}};

constexpr GlyphPoint kOneBar[] = {{50, 4}, {50, 50}, {50, 96}};
constexpr GlyphPoint kOneFlag[] = {{26, 30}, {54, 4}, {54, 4}, {54, 50}, {54, 96}};
constexpr GlyphPoint kOneBase[] = {{30, 24}, {52, 4}, {52, 4}, {52, 50}, {52, 95}, kLift, {24, 95}, {52, 95}, {80, 95}};

constexpr GlyphPoint kTwoRound[] = {{14, 28}, {28, 8}, {56, 4}, {80, 20}, {74, 44}, {44, 70}, {12, 95}, {12, 95}, {50, 95}, {88, 94}};
constexpr GlyphPoint kTwoLoop[] = {{18, 24}, {42, 5}, {72, 12}, {76, 38}, {52, 68}, {24, 92}, {12, 84}, {26, 74}, {52, 88}, {90, 92}};
constexpr GlyphPoint kTwoAngular[] = {{16, 12}, {46, 4}, {84, 10}, {84, 10}, {54, 46}, {16, 92}, {16, 92}, {50, 90}, {86, 96}};

constexpr GlyphPoint kThreeRound[] = {{16, 16}, {44, 4}, {76, 18}, {68, 40}, {42, 48}, {42, 48}, {76, 58}, {82, 80}, {50, 96}, {14, 84}};
constexpr GlyphPoint kThreeFlat[] = {{16, 6}, {50, 6}, {82, 6}, {82, 6}, {44, 42}, {44, 42}, {78, 54}, {82, 80}, {50, 96}, {12, 84}};
constexpr GlyphPoint kThreeLoop[] = {{20, 10}, {56, 4}, {78, 20}, {62, 42}, {40, 50}, {36, 44}, {52, 44}, {80, 62}, {76, 88}, {44, 96}, {14, 90}};

constexpr GlyphPoint kFourOpen[] = {{28, 6}, {20, 34}, {12, 60}, {12, 60}, {50, 60}, {90, 58}, kLift, {70, 30}, {68, 60}, {66, 96}};
constexpr GlyphPoint kFourClosed[] = {{66, 4}, {38, 36}, {10, 66}, {10, 66}, {50, 66}, {92, 66}, kLift, {66, 4}, {66, 50}, {66, 96}};
constexpr GlyphPoint kFourCurved[] = {{22, 8}, {16, 36}, {26, 54}, {52, 54}, {76, 44}, kLift, {82, 4}, {76, 44}, {70, 96}};

constexpr GlyphPoint kFiveOneStroke[] = {{84, 6}, {54, 6}, {26, 6}, {26, 6}, {20, 44}, {20, 44}, {50, 36}, {82, 54}, {80, 80}, {50, 96}, {14, 88}};
constexpr GlyphPoint kFiveTwoStrokes[] = {{30, 10}, {26, 28}, {22, 46}, {22, 46}, {54, 42}, {78, 60}, {72, 86}, {42, 96}, {16, 86}, kLift, {30, 8}, {60, 8}, {90, 4}};
constexpr GlyphPoint kFiveSnake[] = {{82, 8}, {46, 6}, {22, 22}, {34, 42}, {64, 52}, {80, 72}, {62, 94}, {34, 96}, {12, 86}};

constexpr GlyphPoint kSixRound[] = {{74, 8}, {42, 20}, {20, 52}, {24, 86}, {54, 96}, {82, 78}, {72, 54}, {44, 52}, {22, 72}};
constexpr GlyphPoint kSixStraight[] = {{60, 4}, {40, 32}, {22, 62}, {30, 90}, {56, 96}, {78, 80}, {72, 60}, {48, 54}, {22, 66}};
constexpr GlyphPoint kSixCurl[] = {{56, 4}, {28, 22}, {16, 58}, {32, 92}, {64, 94}, {78, 74}, {60, 60}, {36, 72}, {46, 84}};

constexpr GlyphPoint kSevenPlain[] = {{12, 8}, {48, 8}, {86, 8}, {86, 8}, {62, 50}, {40, 96}};
constexpr GlyphPoint kSevenCrossed[] = {{14, 8}, {50, 8}, {86, 6}, {86, 6}, {60, 50}, {44, 96}, kLift, {30, 54}, {60, 50}, {84, 46}};
constexpr GlyphPoint kSevenHooked[] = {{12, 26}, {16, 8}, {16, 8}, {50, 12}, {84, 8}, {84, 8}, {60, 40}, {52, 96}};

constexpr GlyphPoint kEightStacked[] = {{50, 48}, {26, 36}, {28, 14}, {50, 4}, {72, 14}, {74, 36}, {50, 48}, {80, 66}, {76, 88}, {50, 96}, {24, 88}, {20, 66}, {50, 48}};
constexpr GlyphPoint kEightCrossed[] = {{74, 16}, {50, 4}, {24, 16}, {34, 38}, {66, 58}, {80, 80}, {52, 96}, {20, 82}, {32, 58}, {64, 38}, {74, 16}};
constexpr GlyphPoint kEightOpen[] = {{78, 10}, {46, 4}, {24, 20}, {38, 42}, {66, 60}, {74, 82}, {48, 96}, {24, 80}, {38, 58}, {64, 40}, {82, 22}};

constexpr GlyphPoint kNineStraight[] = {{76, 20}, {50, 4}, {22, 18}, {24, 44}, {52, 52}, {76, 34}, kLift, {76, 20}, {76, 34}, {72, 96}};
constexpr GlyphPoint kNineRound[] = {{78, 30}, {56, 48}, {28, 46}, {18, 22}, {46, 4}, {76, 14}, {80, 48}, {58, 80}, {26, 94}};
constexpr GlyphPoint kNineHooked[] = {{74, 16}, {46, 6}, {22, 26}, {34, 48}, {64, 44}, {74, 16}, {74, 16}, {76, 60}, {60, 94}, {24, 90}};
// clang-format on

constexpr GlyphShape kZeros[] = {kZeroOval, kZeroNarrow, kZeroOverlap, kZeroSlashed};
constexpr GlyphShape kOnes[] = {kOneBar, kOneFlag, kOneBase};
constexpr GlyphShape kTwos[] = {kTwoRound, kTwoLoop, kTwoAngular};
constexpr GlyphShape kThrees[] = {kThreeRound, kThreeFlat, kThreeLoop};
constexpr GlyphShape kFours[] = {kFourOpen, kFourClosed, kFourCurved};
constexpr GlyphShape kFives[] = {kFiveOneStroke, kFiveTwoStrokes, kFiveSnake};
constexpr GlyphShape kSixes[] = {kSixRound, kSixStraight, kSixCurl};
constexpr GlyphShape kSevens[] = {kSevenPlain, kSevenCrossed, kSevenHooked};
constexpr GlyphShape kEights[] = {kEightStacked, kEightCrossed, kEightOpen};
constexpr GlyphShape kNines[] = {kNineStraight, kNineRound, kNineHooked};

}  // namespace

std::span<const GlyphShape> glyph_shapes(int digit) {
  static constexpr std::array<std::span<const GlyphShape>, 10> kDigits{kZeros, kOnes,  kTwos,   kThrees, kFours,
                                                                       kFives, kSixes, kSevens, kEights, kNines};
  return kDigits.at(static_cast<std::size_t>(digit));
}

}  // namespace ffzero
