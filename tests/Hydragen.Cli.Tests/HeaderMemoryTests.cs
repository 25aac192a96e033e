namespace Hydragen.Cli.Tests;

/// <summary>Counts the allocations of the whole process, so nothing may run beside it.</summary>
[CollectionDefinition(nameof(HeaderMemoryTests), DisableParallelization = true)]
[Collection(nameof(HeaderMemoryTests))]
public sealed class HeaderMemoryTests : IDisposable
{
    /// <summary>What a malformed file may cost whatever it claims.</summary>
    private const long MaxExtraBytes = 64L << 20;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1UL << 63)]
    [InlineData(ulong.MaxValue)]
    [InlineData(ulong.MaxValue - 7)]
    [InlineData(100_000_001UL)]
    [InlineData(99_999_999UL)]
    [InlineData(57UL)]
    public async Task A_header_that_claims_more_than_the_file_holds_is_refused_without_its_memory(ulong claimedBytes)
    {
        byte[] file = SafetensorsBytes.Of(claimedBytes, new byte[56]);
        string folder = _folder.CopyModel(("model.safetensors", file));
        long before = GC.GetTotalAllocatedBytes();
        (await Cli.RunAsync("generate", "--model", folder, "--prompt", "a")).AssertBadInput("model.safetensors");
        (await Cli.RunAsync("attention", "--input", _folder.Write("case.safetensors", file), "--output", _folder["out"])).AssertBadInput("case.safetensors");
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, MaxExtraBytes);
    }

    [Fact]
    public async Task A_tensor_that_claims_more_than_the_file_holds_is_refused_without_its_memory()
    {
        string header = """
            {"__metadata__":{"plan":"{\"sequences\":[{\"node\":-1}]}"},"sequence.0.query":{"dtype":"F32","shape":[1000000000,1,8],"data_offsets":[0,32000000000]}}
            """;
        string path = _folder.Write("case.safetensors", SafetensorsBytes.Of(header, 64));
        long before = GC.GetTotalAllocatedBytes();
        (await Cli.RunAsync("attention", "--input", path, "--output", _folder["out"])).AssertBadInput("case.safetensors");
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, MaxExtraBytes);
    }
}
