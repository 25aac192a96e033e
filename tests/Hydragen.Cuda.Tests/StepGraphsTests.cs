using Hydragen.Core;

namespace Hydragen.Cuda.Tests;

/// <summary>When steps are captured and replayed, and what becomes of those that cannot be.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class StepGraphsTests
{
    [Theory]
    [InlineData(null, null, true)]
    [InlineData("1", null, true)]
    [InlineData("0", null, false)]
    [InlineData("0", true, true)]
    [InlineData("1", false, false)]
    public void An_option_wins_over_the_environment(string? variable, bool? option, bool expected)
    {
        Environment.SetEnvironmentVariable(StepGraphs.Variable, variable);
        try
        {
            Assert.Equal(expected, StepGraphs.AreEnabled(option));
        }
        finally
        {
            Environment.SetEnvironmentVariable(StepGraphs.Variable, null);
        }
    }

    [Fact]
    public void Other_values_of_the_environment_variable_are_refused()
    {
        Environment.SetEnvironmentVariable(StepGraphs.Variable, "yes");
        try
        {
            Assert.Contains("'yes'", Assert.Throws<ArgumentException>(() => StepGraphs.AreEnabled(null)).Message, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable(StepGraphs.Variable, null);
        }
    }

    [Fact]
    public void A_step_is_launched_then_captured_then_replayed_until_something_changes()
    {
        using CudaBackend backend = Open();
        using DeviceBuffer rows = backend.Allocate(ElementType.Float32, 8), weight = backend.Allocate(ElementType.Float32, 8);
        rows.Upload([1, 2, 3, 4, 5, 6, 7, 8]);
        weight.Upload([1, 1, 1, 1, 1, 1, 1, 1]);
        void Launch() => backend.RmsNorm(rows, 1, weight, 0, rows);
        void Expect(long numSteps, long numCaptures, long numReplays)
        {
            GraphStatistics statistics = backend.Steps.Statistics;
            Assert.Equal((numSteps, numCaptures, numReplays), (statistics.NumSteps, statistics.NumCaptures, statistics.NumReplays));
        }
        backend.Steps.Run(1, 1, 0, 0, [10, 20], Launch);
        Expect(1, 0, 0);
        backend.Steps.Run(1, 1, 0, 0, [10, 20], Launch);
        Expect(2, 1, 1);
        backend.Steps.Run(1, 1, 0, 0, [10, 20], () => Assert.Fail("A replay launches nothing."));
        Expect(3, 1, 2);
        // Another key, then other rows.
        backend.Steps.Run(1, 1, 0, 0, [10, 21], Launch);
        Expect(4, 2, 3);
        backend.Steps.Run(1, 2, 0, 0, [10, 20], Launch);
        Expect(5, 2, 3);
        // Scratch memory has moved, so captured addresses are wrong.
        backend.Device.NumScratchChanges++;
        backend.Steps.Run(1, 1, 0, 0, [10, 20], Launch);
        Expect(6, 3, 4);
        backend.Steps.Forget(1);
        backend.Steps.Run(1, 1, 0, 0, [10, 20], Launch);
        Expect(7, 3, 4);
        // Normalised numbers stay what they are.
        var found = new float[8];
        rows.Download(found);
        for (int i = 0; i < 8; i++) Assert.Equal((i + 1) / Math.Sqrt(204 / 8.0), found[i], 1e-5);
    }

    [Fact]
    public void Graphs_that_were_used_longest_ago_make_room()
    {
        using CudaBackend backend = Open();
        using DeviceBuffer rows = backend.Allocate(ElementType.Float32, 8), weight = backend.Allocate(ElementType.Float32, 8);
        void Launch() => backend.RmsNorm(rows, 1, weight, 1, rows);
        backend.Steps.Run(1, 1, 0, 0, [-1], Launch);
        for (int i = 0; i <= StepGraphs.MaxGraphs; i++)
        {
            backend.Steps.Run(1, 1, 0, 0, [i], Launch);
            backend.Steps.Run(1, 1, 0, 0, [0], Launch);
        }
        long numCaptures = backend.Steps.Statistics.NumCaptures;
        Assert.Equal(StepGraphs.MaxGraphs + 1, numCaptures);
        backend.Steps.Run(1, 1, 0, 0, [0], Launch);
        Assert.Equal(numCaptures, backend.Steps.Statistics.NumCaptures);
        backend.Steps.Run(1, 1, 0, 0, [1], Launch);
        Assert.Equal(numCaptures + 1, backend.Steps.Statistics.NumCaptures);
    }

    [Fact]
    public void What_cannot_be_captured_is_reported_and_harms_nothing()
    {
        using CudaBackend backend = Open();
        using DeviceBuffer rows = backend.Allocate(ElementType.Float32, 8), weight = backend.Allocate(ElementType.Float32, 8);
        void Launch() => backend.RmsNorm(rows, 1, weight, 1, rows);
        backend.Steps.Run(1, 1, 0, 0, [1], Launch);
        Assert.Throws<InvalidOperationException>(() => backend.Steps.Run(1, 1, 0, 0, [1], () => backend.Allocate(ElementType.Float32, 8)));
        Assert.Throws<InvalidOperationException>(() => backend.Steps.Run(1, 1, 0, 0, [1], () => weight.Upload([1])));
        CudaException exception = Assert.Throws<CudaException>(() => backend.Steps.Run(1, 1, 0, 0, [1], () => backend.Device.Synchronize()));
        Assert.Contains("cannot be captured", exception.Message, StringComparison.Ordinal);
        Assert.Contains(StepGraphs.Variable, exception.Message, StringComparison.Ordinal);
        rows.Upload([1, 1, 1, 1, 1, 1, 1, 1]);
        weight.Upload([2, 2, 2, 2, 2, 2, 2, 2]);
        backend.Steps.Run(1, 1, 0, 0, [1], Launch);
        var found = new float[8];
        rows.Download(found);
        Assert.All(found, value => Assert.Equal(Math.Sqrt(2), value, 1e-5));
    }

    private static CudaBackend Open() => Gpu.Open(usesGraphs: true);
}
