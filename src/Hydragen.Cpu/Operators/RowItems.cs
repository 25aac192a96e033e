namespace Hydragen.Cpu;

/// <summary>How rows are cut into items of work.</summary>
internal static class RowItems
{
    // Below so many elements waking a thread costs more than it saves.
    private const long ElementsPerItem = 8192;

    /// <summary>Rows of an item.</summary>
    public static int RowsPerItem(long elementsPerRow) => (int)Math.Max(1, ElementsPerItem / elementsPerRow);

    /// <summary>Items for a number of rows.</summary>
    public static int Count(int numRows, int rowsPerItem) => (int)(((long)numRows + rowsPerItem - 1) / rowsPerItem);
}
