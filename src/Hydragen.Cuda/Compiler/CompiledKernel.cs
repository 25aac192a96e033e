namespace Hydragen.Cuda;

/// <summary>A cubin and what it takes.</summary>
/// <param name="Binary">The cubin.</param>
/// <param name="Usage">Registers and spills.</param>
internal sealed record CompiledKernel(byte[] Binary, ResourceUsage Usage);
