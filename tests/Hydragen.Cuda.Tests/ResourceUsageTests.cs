namespace Hydragen.Cuda.Tests;

public sealed class ResourceUsageTests
{
    [Fact]
    public void The_assemblers_lines_are_read()
    {
        ResourceUsage usage = ResourceUsage.Parse("""
            ptxas info    : 0 bytes gmem
            ptxas info    : Compiling entry function 'attention_node' for 'sm_90a'
            ptxas info    : Function properties for attention_node
            ptxas         .     136 bytes stack frame, 288 bytes spill stores, 164 bytes spill loads
            ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized
            ptxas info    : Used 255 registers, 136 bytes cumulative stack size
            """);
        Assert.Equal(255, usage.NumRegisters);
        Assert.Equal(136, usage.StackBytes);
        Assert.Equal(288 + 164, usage.SpillBytes);
        Assert.Contains("C7510", Assert.Single(usage.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void A_log_without_registers_is_refused() => Assert.Throws<FormatException>(() => ResourceUsage.Parse("nothing"));
}
