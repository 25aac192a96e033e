namespace Hydragen.Cuda;

/// <summary>A cubin and what the compiler said about it.</summary>
/// <param name="Binary">The cubin.</param>
/// <param name="Log">The compilation log, with the assembler's <c>-v</c> lines.</param>
internal sealed record CompiledKernel(byte[] Binary, string Log)
{
    /// <summary>Registers and spills.</summary>
    public ResourceUsage Usage => ResourceUsage.Parse(Log);
}
