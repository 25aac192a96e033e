using System.Runtime.Intrinsics;
using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Bench.Tests;

public sealed class ProbeTests
{
    private static readonly ProbeKernels[] All =
    [
        new VectorProbeKernels<Simd512, Vector512<float>>(),
        new VectorProbeKernels<Simd256, Vector256<float>>(),
        new VectorProbeKernels<Simd128, Vector128<float>>(),
    ];

    [Fact]
    public void Reads_touch_every_element_once()
    {
        var values = new float[4096];
        for (int i = 0; i < values.Length; i++) values[i] = i % 7;
        float expected = values.Sum();
        foreach (ProbeKernels kernels in All)
        {
            Assert.Equal(expected, kernels.Read(values));
            Assert.Equal(expected, kernels.ReadStreams(values));
        }
    }

    [Fact]
    public void Arithmetic_really_runs()
    {
        // Every lane of x ← x/2 + 1 tends to 2; the last two sums are counted twice.
        var ones = new float[ProbeKernels.FedElements];
        Array.Fill(ones, 1);
        foreach (ProbeKernels kernels in All)
        {
            float expected = 2 * kernels.NumLanes * (ProbeKernels.NumSums + 2);
            Assert.Equal(expected, kernels.MultiplyAdd(1000), 0.01f);
            Assert.Equal(expected, kernels.MultiplyAddFromMemory(ones, 1000), 0.01f);
        }
    }

    [Theory]
    [InlineData("amx", "tdpbf16ps")]
    [InlineData("avx512bf16", "vdpbf16ps")]
    public void Products_of_pairs_are_all_computed(string instructionSet, string unit)
    {
        if (PairProbe.For(instructionSet) is not { } probe)
        {
            Assert.Skip($"{instructionSet} does not run here.");
            return;
        }
        Assert.Equal(unit, probe.Unit);
        foreach (long numRounds in (long[])[1, 3, 100])
        {
            Assert.Equal(numRounds * probe.FlopsPerRound / 2.0, probe.Multiply(numRounds));
            Assert.Equal(numRounds * probe.FlopsPerRound / 2.0, probe.MultiplyFromMemory(numRounds));
        }
        Assert.Throws<ArgumentOutOfRangeException>(() => probe.Multiply(0));
    }

    [Fact]
    public void Instruction_sets_without_products_of_pairs_have_no_probe_for_them() => Assert.Null(PairProbe.For("avx512"));

    [Fact]
    public void Ceilings_of_BF16_are_measured_in_the_unit_of_the_instruction_set()
    {
        PairProbe? pairs = PairProbe.For(null);
        Ceilings ceilings = new MachineProbe(1, pairs).MeasureCeilings(0, 0, TestContext.Current.CancellationToken);
        Assert.Equal(pairs?.Unit ?? "FP32 multiply-add", ceilings.BFloat16Unit);
        Assert.True(ceilings.BFloat16Gflops > 0);
        Assert.Equal(ceilings.BFloat16Gflops, ceilings.PeakGflops(ElementType.BFloat16));
        Assert.Equal(ceilings.FmaGflops, ceilings.PeakGflops(ElementType.Float32));
        Assert.Equal(ceilings.FmaGflops, ceilings.PeakGflops(ElementType.Float16));
    }

    [Fact]
    public void Memory_is_read_in_whole_slices()
    {
        var memory = new MemoryProbe(new ThreadTeam(3), 1 << 20, numParts: 2);
        Assert.InRange(memory.BytesPerMeasurement, (1 << 20) - 3 * 4096, 1 << 20);
        for (int i = 0; i < 3; i++) Assert.True(memory.Read().Rate > 0 && memory.ReadStreams().Rate > 0);
    }

    [Fact]
    public void Operands_that_are_too_few_are_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => ProbeKernels.Best.MultiplyAddFromMemory(new float[10], 1));

    [Fact]
    public void Large_arrays_have_the_length_that_was_asked_for()
    {
        Memory<float> array = LargeArray.Allocate(1 << 20);
        array.Span.Fill(3);
        Assert.Equal(1 << 20, array.Length);
        Assert.Equal(3, array.Span[^1]);
    }
}
