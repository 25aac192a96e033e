namespace Hydragen.Cuda.Tests;

/// <summary>Which kernels a GPU gets, and how they are forced.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class KernelSetTests : IDisposable
{
    private static readonly Version Hopper = new(9, 0), Ampere = new(8, 0);

    private readonly string? _before = Environment.GetEnvironmentVariable(KernelSet.Variable);

    public KernelSetTests() => Environment.SetEnvironmentVariable(KernelSet.Variable, null);

    public void Dispose() => Environment.SetEnvironmentVariable(KernelSet.Variable, _before);

    [Fact]
    public void The_best_that_runs_is_taken_and_the_reason_says_why_a_better_one_is_off()
    {
        Assert.Equal("hopper", KernelSet.Select(null, Hopper, out string reason).Name);
        Assert.Contains("wgmma", reason, StringComparison.Ordinal);
        Assert.Equal("portable", KernelSet.Select(null, Ampere, out reason).Name);
        Assert.Contains("hopper is off: wgmma needs compute capability 9.0, and this is 8.0", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void The_environment_forces_a_set_and_the_options_come_before_it()
    {
        Environment.SetEnvironmentVariable(KernelSet.Variable, "portable");
        Assert.Equal("portable", KernelSet.Select(null, Hopper, out string reason).Name);
        Assert.Equal("forced by HYDRAGEN_CUDA_KERNEL", reason);
        Assert.Equal("hopper", KernelSet.Select("hopper", Hopper, out reason).Name);
        Assert.Equal("forced by CudaOptions.KernelSet", reason);
        Assert.Equal("mma.sync", CudaBackend.KernelsFor(new CudaGpu("a GPU", Hopper, 132, 1L << 36), null)[0].Kernel);
    }

    [Fact]
    public void A_name_that_does_not_exist_is_refused_with_those_that_do()
    {
        Environment.SetEnvironmentVariable(KernelSet.Variable, "hoper");
        ArgumentException exception = Assert.Throws<ArgumentException>(() => KernelSet.Select(null, Hopper, out _));
        Assert.Equal("HYDRAGEN_CUDA_KERNEL names the kernels 'hoper', which do not exist; use one of hopper, portable.", exception.Message);
    }

    [Fact]
    public void A_set_that_the_gpu_cannot_run_is_refused_with_those_that_it_can()
    {
        PlatformNotSupportedException exception = Assert.Throws<PlatformNotSupportedException>(() => KernelSet.Select("hopper", Ampere, out _));
        Assert.Equal("CudaOptions.KernelSet asks for 'hopper', but wgmma needs compute capability 9.0, and this is 8.0; there is portable.", exception.Message);
    }
}
