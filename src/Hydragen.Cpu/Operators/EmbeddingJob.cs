using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Reads rows of a packed matrix, one token an item. Elements of a row lie 16 apart there, so the reads are scalar.</summary>
internal sealed unsafe class EmbeddingJob : Job
{
    public CpuMatrix Matrix = null!;
    public byte* Weights;
    public int* TokenIds;
    public float* Output;
    public float Scale;

    public override void Execute(int item, int worker)
    {
        switch (Matrix.ElementType)
        {
            case ElementType.Float32: Row<Float32Storage>(item); break;
            case ElementType.BFloat16: Row<BFloat16Storage>(item); break;
            default: Row<Float16Storage>(item); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Row<T>(int row)
        where T : struct, IStorage
    {
        int id = TokenIds[row];
        nint strip = id / TileShape.StripWidth * Matrix.StripSize, lane = id % TileShape.StripWidth, hiddenSize = Matrix.InputSize;
        float* output = Output + row * hiddenSize;
        if (Matrix.IsPaired)
        {
            for (nint i = 0; i < hiddenSize; i++) output[i] = T.Get(Weights, strip + ((i / 2 * TileShape.StripWidth) + lane) * 2 + i % 2) * Scale;
            return;
        }
        for (nint i = 0; i < hiddenSize; i++) output[i] = T.Get(Weights, strip + lane + i * TileShape.StripWidth) * Scale;
    }
}
