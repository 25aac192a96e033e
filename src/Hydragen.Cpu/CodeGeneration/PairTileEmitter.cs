using Hydragen.Core;
using Iced.Intel;
using static Hydragen.Cpu.RegisterTileEmitter;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// Emits the tiles over BF16 pairs. With BF16 rows, <c>vdpbf16ps</c> adds two products to each sum at once; with FP32 rows the halves
/// of each pair are widened and multiplied one after the other, in the order and with the roundings of <see cref="Tile{S, V, T}"/>.
/// </summary>
internal static class PairTileEmitter
{
    private const int UpperHalves = 31;

    private static readonly Arithmetic DotProducts = new(2, 2 * sizeof(ushort), DotGroup, AddSingles, OddElement: DotOddElement);
    private static readonly Arithmetic Widening = new(2, 2 * sizeof(float), WidenGroup, AddSingles, LoadUpperHalves, WidenFirst);

    /// <summary>Emits one tile size.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="numRows">1 to 6.</param>
    /// <param name="numStrips">1, 2 or 4.</param>
    /// <param name="rowType">BF16 or FP32.</param>
    public static void Emit(Assembler code, int numRows, int numStrips, ElementType rowType) =>
        RegisterTileEmitter.Emit(code, numRows, numStrips, rowType == ElementType.BFloat16 ? DotProducts : Widening);

    private static void AddSingles(Assembler code, AssemblerRegisterZMM sums, AssemblerMemoryOperand addends) => code.vaddps(sums, sums, addends);

    private static void DotGroup(Assembler code, int numRows, int numStrips)
    {
        LoadColumns(code, numStrips);
        MultiplyRows(code, numRows, numStrips, 0, (sums, factor, column) => code.vdpbf16ps(sums, factor, column));
    }

    // The last element of a row has no partner, and what follows it in memory is not the row's.
    private static void DotOddElement(Assembler code, int numRows, int numStrips)
    {
        LoadColumns(code, numStrips);
        for (int row = 0; row < numRows; row++)
        {
            code.movzx(eax, __word_ptr[Row(row)]);
            code.vpbroadcastd(Factor(row), eax);
            for (int strip = 0; strip < numStrips; strip++) code.vdpbf16ps(Registers[row * numStrips + strip], Factor(row), Registers[FirstColumn + strip]);
        }
    }

    private static void LoadUpperHalves(Assembler code)
    {
        code.vpternlogd(Registers[UpperHalves], Registers[UpperHalves], Registers[UpperHalves], 0xFF);
        code.vpslld(Registers[UpperHalves], Registers[UpperHalves], 16);
    }

    private static void WidenGroup(Assembler code, int numRows, int numStrips)
    {
        WidenFirst(code, numRows, numStrips);
        for (int strip = 0; strip < numStrips; strip++) code.vpandd(Registers[FirstColumn + strip], Registers[UpperHalves], __zmmword_ptr[Strip(strip)]);
        MultiplyRows(code, numRows, numStrips, sizeof(float), (sums, factor, column) => code.vfmadd231ps(sums, factor, column));
    }

    private static void WidenFirst(Assembler code, int numRows, int numStrips)
    {
        for (int strip = 0; strip < numStrips; strip++) code.vpslld(Registers[FirstColumn + strip], __zmmword_ptr[Strip(strip)], 16);
        MultiplyRows(code, numRows, numStrips, 0, (sums, factor, column) => code.vfmadd231ps(sums, factor, column));
    }
}
