using Iced.Intel;
using static Hydragen.Cpu.RegisterTileEmitter;

namespace Hydragen.Cpu;

/// <summary>
/// Emits the tiles over INT8 quads: <c>vpdpbusd</c> adds four products of an unsigned byte of the row and a signed byte of the strip
/// to each INT32 sum.
/// </summary>
internal static class QuadTileEmitter
{
    private static readonly Arithmetic DotProducts = new(
        QuadKernel.QuadSize, QuadKernel.QuadSize, DotGroup, (code, sums, addends) => code.vpaddd(sums, sums, addends));

    /// <summary>Emits one tile size.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="numRows">1 to 6.</param>
    /// <param name="numStrips">1, 2 or 4.</param>
    public static void Emit(Assembler code, int numRows, int numStrips) => RegisterTileEmitter.Emit(code, numRows, numStrips, DotProducts);

    private static void DotGroup(Assembler code, int numRows, int numStrips)
    {
        LoadColumns(code, numStrips);
        MultiplyRows(code, numRows, numStrips, 0, (sums, factor, column) => code.vpdpbusd(sums, factor, column));
    }
}
