"""What people see: charts, tables of numbers and reports, drawn by terminal, pages and files alike."""
