// Samples of a block: from the cache and from recomputation they are the same.
// SPDX-License-Identifier: MIT
#include "ffzero/train/source.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"

namespace ffzero::test {
namespace {

class SourceTest : public ::testing::Test {
 protected:
  SourceTest()
      : splits_(make_glyphs(1, 300, 20)),
        config_(resolved({{"model.layers", "[20, 12]"}, {"dataset.downsample", "7"}, {"dataset.shift", "2"}}, splits_)),
        encoder_(encoder_options(config_.values()), splits_.train.shape()),
        network_(build_network<float>(config_, encoder_.output_shape(), 10, std::make_shared<const Executor>(2))) {}

  SampleSource<float> source(std::size_t cache, bool augment) {
    return {splits_.train, encoder_, network_, executor_, {.augment = augment, .cache_bytes = cache, .seed = 1}};
  }

  /// Moves a source behind layer 0 as the trainer does.
  void advance(SampleSource<float>& source) {
    if (!source.may_cache(20)) return source.advance(std::nullopt);
    Matrix<float> x;
    LayerOutput<float> out;
    source.gather_range(0, source.size(), 0, x);
    network_.infer(0, x, Wanted::passed_on, out);
    source.advance(out.passed_on);
  }

  Splits splits_;
  Config config_;
  Encoder encoder_;
  Network<float> network_;
  Executor executor_{2};
};

TEST_F(SourceTest, CacheAndRecomputationGiveTheSameSamples) {
  SampleSource<float> cached = source(std::size_t{1} << 20, false), recomputed = source(0, false);
  EXPECT_EQ(cached.width(), 49);
  advance(cached);
  advance(recomputed);
  EXPECT_FALSE(cached.recomputes());
  EXPECT_TRUE(recomputed.recomputes());
  EXPECT_EQ(cached.depth(), 1);
  EXPECT_EQ(cached.width(), 20);
  const std::vector<std::uint32_t> rows{5, 299, 0, 5, 17};
  Matrix<float> a, b;
  cached.gather(rows, 3, a);
  recomputed.gather(rows, 3, b);
  EXPECT_LT((a - b).cwiseAbs().maxCoeff(), 1e-6F);
  EXPECT_TRUE(a.row(0) == a.row(3));
}

TEST_F(SourceTest, CacheHasALimit) {
  SampleSource<float> tight = source(300 * 20 * 4 - 1, false), wide = source(300 * 20 * 4, false);
  EXPECT_FALSE(tight.may_cache(20));
  EXPECT_TRUE(wide.may_cache(20));
  EXPECT_FALSE(source(std::size_t{1} << 30, true).may_cache(20)) << "shifted images are new in every epoch";
}

/// A network with a front end before each layer, and a source in front of layer 0, whose front end is done.
struct BeforeFronts {
  explicit BeforeFronts(const Settings& more = {}, std::size_t cache = std::size_t{1} << 20)
      : splits(make_glyphs(1, 300, 20)),
        config(resolved(settings(more), splits)),
        encoder(encoder_options(config.values()), splits.train.shape()),
        network(build_network<float>(config, encoder.output_shape(), 10, std::make_shared<const Executor>(2))),
        source(splits.train, encoder, network, executor, {.augment = false, .cache_bytes = cache, .seed = 1}) {
    source.fit_front(64);
    source.apply_front(64);
  }

  static Settings settings(const Settings& more) {
    Settings all{{"model.layers", "[20, 12]"}, {"model.pca", "[9, 6]"}, {"dataset.downsample", "7"}};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Splits splits;
  Config config;
  Encoder encoder;
  Network<float> network;
  Executor executor{2};
  SampleSource<float> source;
};

TEST(Source, OutputsBeforeAFrontEndNeedNotBeKept) {
  BeforeFronts kept, passed;
  Matrix<float> x, y, a, b;
  LayerOutput<float> out;
  kept.source.gather_range(0, 300, 0, x);
  kept.network.infer(0, x, Wanted::passed_on, out, true);
  y = out.passed_on;
  kept.source.advance(std::move(out.passed_on));
  ASSERT_TRUE(passed.source.may_go_through());
  passed.source.advance_through();
  EXPECT_FALSE(passed.source.recomputes()) << "a device would have kept its answers";
  EXPECT_EQ(passed.source.depth(), 1);
  EXPECT_EQ(passed.source.width(), 20);
  passed.source.gather_range(0, 300, 0, a);
  EXPECT_EQ(a, y);
  for (BeforeFronts* one : {&kept, &passed}) {
    one->source.fit_front(300);
    one->source.apply_front(300);
  }
  kept.source.gather_range(0, 300, 0, a);
  passed.source.gather_range(0, 300, 0, b);
  EXPECT_EQ(b.cols(), 6);
  EXPECT_EQ(b, a);
  EXPECT_FALSE(passed.source.recomputes());
}

TEST(Source, OutputsAreKeptWhereTheyCannotBeComputedAgain) {
  EXPECT_FALSE(BeforeFronts(Settings{{"model.imperfect.read_noise", "0.1"}}).source.may_go_through()) << "noise";
  EXPECT_FALSE(BeforeFronts(Settings{{"model.map", "crossbar_io"}}).source.may_go_through()) << "noise of a crossbar";
  EXPECT_FALSE(BeforeFronts(Settings{}, 300 * 20 * 4 - 1).source.may_go_through()) << "recomputed and billed so far";
  BeforeFronts last;
  last.source.advance_through();
  EXPECT_FALSE(last.source.may_go_through()) << "nothing follows";
}

TEST_F(SourceTest, OutputsAreKeptWithoutAFrontEnd) { EXPECT_FALSE(source(std::size_t{1} << 20, false).may_go_through()); }

TEST_F(SourceTest, ShiftsDependOnSeedEpochAndSampleAlone) {
  const SampleSource<float> shifted = source(0, true);
  const std::vector<std::uint32_t> rows{5, 9, 11};
  Matrix<float> a, b, c;
  shifted.gather(rows, 3, a);
  shifted.gather(std::vector<std::uint32_t>{11, 5}, 3, b);
  EXPECT_TRUE(a.row(0) == b.row(1));
  EXPECT_TRUE(a.row(2) == b.row(0));
  shifted.gather(rows, 4, c);
  EXPECT_FALSE(a == c);
}

TEST(Source, KeepsFourierTransformsWithinTheLimit) {
  Splits splits = make_glyphs(1, 100, 20);
  const Config config = resolved({{"model.kind", "photonic"}, {"dataset.crop", "4"}, {"model.mesh.layers", "1"}}, splits);
  const Encoder encoder(encoder_options(config.values()), splits.train.shape());
  ASSERT_EQ(encoder.options().optical_field, OpticalField::fourier);
  for (const int threads : {1, 2, 3}) {
    const Executor executor(threads);
    const auto network = build_network<float>(config, encoder.output_shape(), 10, std::make_shared<const Executor>(1));
    const SampleSource<float> kept{splits.train, encoder, network, executor, {.cache_bytes = 100 * 32 * 4}},
        anew{splits.train, encoder, network, executor, {.cache_bytes = 100 * 32 * 4 - 1}};
    Matrix<float> a, b;
    for (const std::vector<std::uint32_t>& rows : {std::vector<std::uint32_t>{5, 99, 0, 5, 17}, {17, 5, 3}, {99, 99, 3, 42}}) {
      kept.gather(rows, 1, a);
      anew.gather(rows, 1, b);
      EXPECT_TRUE(a == b);
      EXPECT_GT(a.cwiseAbs().rowwise().sum().minCoeff(), 0.0F);
    }
    // Only what is not kept is looked up in the data again.
    const Splits before = std::exchange(splits, make_glyphs(2, 100, 20));
    kept.gather(std::vector<std::uint32_t>{5, 42}, 1, a);
    anew.gather(std::vector<std::uint32_t>{5, 42}, 1, b);
    EXPECT_FALSE(a == b);
    splits = before;
    anew.gather(std::vector<std::uint32_t>{5, 42}, 1, b);
    EXPECT_TRUE(a == b);
  }
}

TEST(Source, MakesLargeFourierTransformsAnew) {
  Splits splits = make_glyphs(1, 100, 20);
  const Executor executor(1);
  for (const Index side : {9, 10}) {  // of images of 28 x 28: 648 and 800 bytes
    const Config config =
        resolved({{"model.kind", "photonic"}, {"dataset.crop", std::to_string(side)}, {"model.mesh.layers", "1"}}, splits);
    const Encoder encoder(encoder_options(config.values()), splits.train.shape());
    ASSERT_EQ(encoder.input_shape().size(), 784);
    const auto network = build_network<float>(config, encoder.output_shape(), 10, std::make_shared<const Executor>(1));
    const SampleSource<float> source{splits.train, encoder, network, executor, {.cache_bytes = std::size_t{1} << 30}};
    Matrix<float> before, after;
    source.gather_range(0, 5, 1, before);
    const Splits first = std::exchange(splits, make_glyphs(2, 100, 20));
    source.gather_range(0, 5, 1, after);
    splits = first;
    EXPECT_EQ(before == after, side == 9);
  }
}

TEST(Source, MirrorsImagesInTrainingAndNotInEvaluation) {
  const Splits splits = make_glyphs(1, 100, 20);
  const Config config = resolved({{"model.layers", "[12]"}, {"dataset.flip", "true"}}, splits);
  const Encoder encoder(encoder_options(config.values()), splits.train.shape());
  const Executor executor(1);
  const auto network = build_network<float>(config, encoder.output_shape(), 10, std::make_shared<const Executor>(1));
  const SampleSource<float> plain{splits.train, encoder, network, executor, {.augment = false}},
      augmented{splits.train, encoder, network, executor, {.augment = true}};
  Matrix<float> a, b;
  plain.gather_range(0, 100, 1, a);
  augmented.gather_range(0, 100, 1, b);
  const Index side = splits.train.shape().width;
  Index mirrored = 0;
  for (Index i = 0; i < a.rows(); ++i) {
    bool same = true, mirror = true;
    for (Index p = 0; p < a.cols(); ++p) {
      same = same && b(i, p) == a(i, p);
      mirror = mirror && b(i, p) == a(i, p / side * side + side - 1 - p % side);
    }
    EXPECT_TRUE(same || mirror) << "sample " << i;
    mirrored += same ? 0 : 1;
  }
  EXPECT_GT(mirrored, 30);
  EXPECT_LT(mirrored, 70);
}

TEST_F(SourceTest, TargetsGoWithTheRows) {
  const SampleSource<float> s = source(0, false);
  std::vector<std::int32_t> labels;
  std::vector<double> values;
  const std::vector<std::uint32_t> rows{7, 3};
  const Targets t = s.targets(rows, labels, values);
  EXPECT_EQ(t.labels[0], splits_.train.labels()[7]);
  EXPECT_EQ(t.labels[1], splits_.train.labels()[3]);
  EXPECT_TRUE(t.values.empty());
  EXPECT_EQ(s.all_targets().size(), 300);
}

TEST(FittedEncoder, LearnsTheScaleFromTheTrainSplitAndKeepsItInTheCheckpoint) {
  const Splits splits = small_splits(50, 20, 4, 2);
  const Config config = resolved({{"model.layers", "[8]"}, {"training.batch_size", "10"}}, splits);
  ASSERT_EQ(config.values().word("dataset.scale"), "sphere");
  const Encoder encoder = fitted_encoder(encoder_options(config.values()), feature_scale(config.values()), splits.train);
  const Matrix<double> x = encode_samples(encoder, splits.train, 0, 50).cast<double>();
  for (Index k = 0; k < 4; ++k) {
    EXPECT_NEAR(x.col(k).mean(), 0.0, 1e-6);
    EXPECT_NEAR(x.col(k).squaredNorm() / 50, 0.25, 1e-6);
  }
  NpzArchive archive;
  save_encoder(encoder, archive);
  const Encoder again =
      restored_encoder(encoder_options(config.values()), feature_scale(config.values()), splits.train.shape(), archive, "run");
  EXPECT_TRUE(encode_samples(again, splits.test, 0, 20) == encode_samples(encoder, splits.test, 0, 20));
  archive["encoder.factor"] = NpyArray::of<double>(std::vector<double>{1, 2, 3}, {3});
  EXPECT_EQ(message_of<DataError>([&] {
              (void)restored_encoder(encoder_options(config.values()), feature_scale(config.values()), splits.train.shape(), archive,
                                     "run");
            }),
            "run: must hold the array encoder.factor with a finite number for each of the 4 features; got 3; the file is damaged");
}

TEST(FittedEncoder, LeavesSamplesAsTheyAreUnlessTheyAreTables) {
  const Splits images = make_glyphs(1, 20, 20);
  const Config config = resolved({{"training.batch_size", "10"}}, images);
  EXPECT_TRUE(fitted_encoder(encoder_options(config.values()), feature_scale(config.values()), images.train).scale().empty());
  NpzArchive archive;
  save_encoder(fitted_encoder(encoder_options(config.values()), feature_scale(config.values()), images.train), archive);
  EXPECT_TRUE(archive.empty());
  const Config asked = resolved({{"dataset.scale", "unit"}, {"training.batch_size", "10"}}, images);
  EXPECT_EQ(
      message_of<ConfigError>([&] { (void)fitted_encoder(encoder_options(asked.values()), feature_scale(asked.values()), images.train); }),
      "dataset.scale: scales samples of real numbers; got pixels; use \"none\", or save the samples as real numbers");
}

}  // namespace
}  // namespace ffzero::test
