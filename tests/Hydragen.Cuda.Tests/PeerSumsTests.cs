using Hydragen.Core;
using Hydragen.Models.Tests;

namespace Hydragen.Cuda.Tests;

/// <summary>Sums of ranks that write into one another's memory; each has a GPU of its own.</summary>
[Collection(nameof(PeerSumsTests))]
public sealed class PeerSumsTests
{
    [CollectionDefinition(nameof(PeerSumsTests), DisableParallelization = true)]
    public sealed class OneAtATime;

    [Theory]
    [InlineData(2, ElementType.BFloat16)]
    [InlineData(3, ElementType.Float32)]
    [InlineData(4, ElementType.Float16)]
    [InlineData(8, ElementType.BFloat16)]
    public void Sums_of_small_integers_are_exact_and_no_call_meets_numbers_of_another(int size, ElementType type)
    {
        RequireGpus(size);
        int[] lengths = [8, 1024, 8192, 16, 100_000, 2048, 8, 8];
        float[][][] sums = ThreadGroup.Run(size, control =>
        {
            using var backend = new CudaBackend(new CudaOptions { DeviceIndex = control.Rank });
            using PeerSums peers = Connect(backend, control);
            using var numbers = new CudaBuffer(backend.Device, type, lengths.Max());
            var results = new float[2 * lengths.Length][];
            control.Min(0);
            for (int i = 0; i < results.Length; i++)
            {
                results[i] = new float[lengths[i % lengths.Length]];
                for (int k = 0; k < results[i].Length; k++) results[i][k] = Addend(control.Rank, i, k);
                numbers.Upload(results[i]);
                peers.Sum(numbers, results[i].Length);
                numbers.Download(results[i]);
            }
            control.Min(0);
            return results;
        });
        for (int i = 0; i < 2 * lengths.Length; i++)
        {
            var expected = new float[lengths[i % lengths.Length]];
            for (int k = 0; k < expected.Length; k++) expected[k] = Enumerable.Range(0, size).Sum(rank => Addend(rank, i, k));
            foreach (float[][] found in sums) Assert.Equal(expected, found[i]);
        }
    }

    [Fact]
    public void Nans_of_every_bit_pattern_are_summed_to_nan()
    {
        RequireGpus(2);
        float[] patterns = [float.NaN, BitConverter.UInt32BitsToSingle(uint.MaxValue), BitConverter.UInt32BitsToSingle(0x7fff7fff), 0f];
        float[][] sums = ThreadGroup.Run(2, control =>
        {
            using var backend = new CudaBackend(new CudaOptions { DeviceIndex = control.Rank });
            using PeerSums peers = Connect(backend, control);
            using var numbers = new CudaBuffer(backend.Device, ElementType.Float32, 16);
            float[] values = [.. Enumerable.Range(0, 16).Select(i => patterns[control.Rank == 0 ? i / 4 : i % 4])];
            control.Min(0);
            numbers.Upload(values);
            peers.Sum(numbers, 16);
            numbers.Download(values);
            control.Min(0);
            return values;
        });
        foreach (float[] found in sums)
        {
            for (int i = 0; i < 16; i++) Assert.Equal(i == 15 ? 0f : float.NaN, found[i]);
        }
    }

    [Fact]
    public void A_rank_that_waits_for_one_that_never_comes_ends_when_it_is_told_to()
    {
        RequireGpus(2);
        ThreadGroup.Run(2, control =>
        {
            using var backend = new CudaBackend(new CudaOptions { DeviceIndex = control.Rank });
            using PeerSums peers = Connect(backend, control);
            using var numbers = new CudaBuffer(backend.Device, ElementType.Float32, 4096);
            control.Min(0);
            if (control.Rank == 0)
            {
                peers.Sum(numbers, 4096);
                peers.Stop();
                backend.Device.Synchronize();
            }
            control.Min(0);
            return 0;
        });
    }

    /// <summary>Integers that stay exact in every type when eight are added up.</summary>
    private static float Addend(int rank, int call, int index) => (index * 7 + call * 5 + rank * 3) % 29 - 14;

    private static void RequireGpus(int count)
    {
        int found = CudaEnvironment.Probe().Devices.Count;
        if (found < count) Assert.Skip($"There are {found} GPUs; this test needs {count}.");
    }

    private static PeerSums Connect(CudaBackend backend, IRankGroup control)
    {
        PeerSums? peers = PeerSums.TryCreate(backend, control);
        Assert.NotNull(peers);
        return peers;
    }
}
