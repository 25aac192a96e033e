using Hydragen.Core;
using Hydragen.Models;

namespace Hydragen.Engine.Tests;

/// <summary>Scales of FP8 keys and values that the first prompt sets.</summary>
public sealed class KvScalingTests
{
    private const float Factor = 1 << 20;

    private static readonly GenerationOptions Greedy = new() { MaxNewTokens = 20, Sampling = SamplingOptions.Greedy, IgnoreEos = true, LogProbabilities = true };

    public static TheoryData<ElementType, ElementType?> Types => new()
    {
        { ElementType.Float8E4M3, null },
        { ElementType.Float8E5M2, null },
        { ElementType.Float8E4M3, ElementType.BFloat16 },
        { ElementType.BFloat16, ElementType.Float8E4M3 },
        { ElementType.Float8E5M2, ElementType.Float8E4M3 },
    };

    [Theory]
    [MemberData(nameof(Types))]
    public void A_model_with_a_head_beyond_the_range_is_as_exact_as_one_without(ElementType kvType, ElementType? prefixKvType)
    {
        using var exact = new TinyModel();
        using var inRange = new TinyModel(kvType: kvType, prefixKvType: prefixKvType);
        using var scaled = new TinyModel(kvType: kvType, prefixKvType: prefixKvType, kvScaling: KvScaling.Calibrated, headFactor: Factor);
        using var saturated = new TinyModel(kvType: kvType, prefixKvType: prefixKvType, headFactor: Factor);
        float[] expected = Score(exact);
        double error = Error(inRange), scaledError = Error(scaled), saturatedError = Error(saturated);
        // Numbers that become subnormal differ, and those are small.
        Assert.InRange(scaledError, error / 1.1, error * 1.1);
        Assert.True(saturatedError > 3 * scaledError, $"without scales {saturatedError}, with them {scaledError}");
        int numKinds = prefixKvType is null || !kvType.IsFloat8() || !prefixKvType.Value.IsFloat8() ? 1 : 2;
        KvCalibration calibration = scaled.Engine.Calibration!;
        // One of two heads in each of two layers.
        Assert.Equal((128, 4 * numKinds, 2 * numKinds), (calibration.NumTokens, calibration.NumHeads, calibration.NumScaled));
        Assert.True(calibration.LargestScale > 1);
        Assert.Null(saturated.Engine.Calibration);

        double Error(TinyModel model) => Score(model).Zip(expected, (a, b) => Math.Abs(a - b)).Average();
    }

    [Theory]
    [InlineData(ElementType.Float8E4M3)]
    [InlineData(ElementType.Float8E5M2)]
    public void Where_nothing_is_beyond_the_range_no_bit_changes(ElementType type)
    {
        using var plain = new TinyModel(kvType: type);
        using var calibrated = new TinyModel(kvType: type, kvScaling: KvScaling.Calibrated);
        PromptNode[] prompts = [Prompts.Ids(Prompts.Random(new Random(1), 70))];
        Assert.Null(calibrated.Engine.Calibration);
        Assert.Equal(Prompts.Updates(plain, prompts, Greedy, isExact: true), Prompts.Updates(calibrated, prompts, Greedy, isExact: true));
        Assert.Equal(new KvCalibration(70, 4, 0, 1), calibrated.Engine.Calibration);
        calibrated.Engine.CheckIntegrity();
    }

    [Fact]
    public void The_beginning_of_the_first_prompt_decides_once()
    {
        using var model = new TinyModel(kvType: ElementType.Float8E4M3, kvScaling: KvScaling.Calibrated, headFactor: Factor, maxBatchRows: 50);
        // A shared part and the first of the tails behind it, as many tokens as a pass takes.
        int[] shared = Prompts.Random(new Random(2), 40);
        GenerationStatistics statistics = model.Engine.Generate([Prompts.Ids([.. shared, .. Prompts.Random(new Random(3), 8)]), Prompts.Ids([.. shared, .. new int[8]])], Greedy);
        Assert.Equal(48, statistics.Calibration!.NumTokens);
        KvCalibration first = model.Engine.Calibration!;
        Assert.Same(first, model.Engine.Generate([Prompts.Ids(Prompts.Random(new Random(4), 200))], Greedy).Calibration);

        using var longer = new TinyModel(kvType: ElementType.Float8E4M3, kvScaling: KvScaling.Calibrated, headFactor: Factor, maxBatchRows: 50);
        using PrefixHandle prefix = longer.Engine.CreatePrefix(Prompts.Ids(Prompts.Random(new Random(4), 200)));
        Assert.Equal(50, longer.Engine.Calibration!.NumTokens);
        Assert.Equal(1, longer.Engine.Generate([Prompts.Ids(1)], Greedy, prefix: prefix).Completions);
    }

    [Fact]
    public void A_first_call_that_ends_early_leaves_the_engine_usable()
    {
        using var model = new TinyModel(kvType: ElementType.Float8E4M3, kvScaling: KvScaling.Calibrated, headFactor: Factor);
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => model.Engine.Generate([Prompts.Ids(1, 2, 3)], Greedy, cancellationToken: source.Token));
        using var fresh = new TinyModel(kvType: ElementType.Float8E4M3, kvScaling: KvScaling.Calibrated, headFactor: Factor);
        PromptNode[] prompts = [Prompts.Ids(4, 5, 6, 7)];
        fresh.Engine.Generate(prompts, Greedy);
        model.Engine.Generate(prompts, Greedy);
        Assert.Equal(fresh.Engine.Calibration, model.Engine.Calibration);
        Assert.Equal(0, model.Engine.KvBytesInUse);
    }

    [Fact]
    public void Scales_without_FP8_are_refused_by_name()
    {
        using var probe = new TinyModel();
        using var backend = new Cpu.CpuBackend();
        foreach ((ElementType? type, string names) in ((ElementType?, string)[])[(null, "f32"), (ElementType.Int8, "int8")])
        {
            ArgumentException refused = Assert.Throws<ArgumentException>(
                () => DecoderModel.Load(probe.Folder, backend, new DecoderOptions { KvType = type, KvScaling = KvScaling.Calibrated }));
            Assert.Contains($"the keys and values are {names}", refused.Message, StringComparison.Ordinal);
        }
        using var model = new TinyModel(kvType: ElementType.Float8E5M2, kvScaling: KvScaling.Calibrated, maxBatchRows: 30);
        Assert.Equal(30, model.Model.MaxCalibrationTokens);
        Assert.Throws<ArgumentException>(() => model.Model.FindLargest([]));
        Assert.Throws<ArgumentException>(() => model.Model.FindLargest(new int[31]));
        Assert.Throws<ArgumentException>(() => model.Model.FindLargest([TinyModel.VocabularySize]));
    }

    /// <summary>Log-probabilities of some tokens.</summary>
    internal static float[] Score(TinyModel model)
    {
        int[] shared = Prompts.Random(new Random(5), 150);
        var scores = new float[4][];
        model.Engine.Score(
            [.. Enumerable.Range(0, 4).Select(i => (int[])[.. shared, .. Prompts.Random(new Random(6 + i), 40)])],
            scored => scores[scored.InputIndex] = [.. scored.LogProbabilities.Skip(1)]);
        return [.. scores.SelectMany(score => score)];
    }
}
