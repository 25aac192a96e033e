using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>A job over rows of one storage type, some rows an item: chooses the code for the type once an item.</summary>
internal abstract class RowJob : Job
{
    public ElementType InputType;
    public int NumRows;
    public int RowsPerItem;

    public sealed override void Execute(int item, int worker)
    {
        int first = item * RowsPerItem, end = Math.Min(NumRows, first + RowsPerItem);
        switch (InputType)
        {
            case ElementType.Float32: Rows<Float32Storage>(first, end); break;
            case ElementType.BFloat16: Rows<BFloat16Storage>(first, end); break;
            default: Rows<Float16Storage>(first, end); break;
        }
    }

    /// <summary>Does the rows from <paramref name="first"/> up to, not including, <paramref name="end"/>.</summary>
    /// <typeparam name="T">How they are stored.</typeparam>
    protected abstract void Rows<T>(int first, int end)
        where T : struct, IStorage;
}
