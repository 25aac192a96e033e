namespace Hydragen.Cli;

/// <summary>The user's input is wrong; the message is the one line that is shown.</summary>
internal sealed class InputException(string message, Exception? inner = null) : Exception(message, inner);
